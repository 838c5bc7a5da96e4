"""What is handed to a flow when it is built: what it must not open itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from ...runtime.errors import DefinitionError
from .chain import Stage
from .meter import Figures
from .ports import Reader, Tap
from .queued import Queues
from .states import StateStore
from .step import Step
from .tuning import Change


@dataclass(frozen=True, slots=True)
class Outside:
    """`readers` by the name of their vector; `tap` gets what was predicted; `states` is where state steps remember,
    `queues` are where queue steps hand over; `meters` get each step's figures, `changes` what changes each step that
    can be changed while it runs, by name.

    `stages` makes a stage where this process does not run a step itself: because the step stands in a part of its own
    (`None` from it: build the step here), or because its kind needs a server. `waits` says that some of them are
    async.
    """

    readers: Mapping[str, Reader] = field(default_factory=dict)
    tap: Tap | None = None
    states: StateStore | None = None
    queues: Queues | None = None
    stages: Callable[[Step], Stage | None] = lambda _: None
    waits: bool = False
    meters: dict[str, Figures] | None = None
    changes: dict[str, Change] | None = None

    def reader(self, graph: str, step: Step) -> Reader:
        """The reader of an enrich step's vector; raises `DefinitionError`."""
        found = self.readers.get(step.subject.name)
        if found is None:
            raise DefinitionError(f"{graph}: the graph reads features; give it a store")
        return found
