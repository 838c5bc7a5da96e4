"""A graph that is served: where it is, what it answers, how it does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ...functions.rollouts.deployed import Deployed
from ...functions.rollouts.rollout import Rollout
from ...runtime.errors import NotFoundError
from ..flows.meter import Figures
from ..flows.step import Declared, Step, may_repeat, walk
from ..flows.tuning import merged
from .deployment import Deployment, Serving
from .live_figures import figures_told

if TYPE_CHECKING:
    from ..pictures.svg import Picture
    from ..streams.queue_view import QueueView


@dataclass(frozen=True, slots=True)
class Endpoint(Deployed):
    """`url` takes POSTs of one JSON object or a list of them; `version` is the content of the graph.

    `steps` are known where the graph was deployed from.
    """

    steps: tuple[Step, ...] = field(default=(), repr=False, compare=False, kw_only=True)
    part_versions: tuple[str, ...] = field(default=(), repr=False, compare=False, kw_only=True)

    def call(self, body: Mapping[str, Any] | Sequence[Mapping[str, Any]]) -> Any:
        """The answer to one body, or the answers to a list of them; raises the error the service answered with.

        It is asked again when a replica ended before it answered, unless one of the steps is not idempotent.
        """
        return self._client().post("", body, may_repeat=may_repeat(self.steps))

    def explain(self, body: Mapping[str, Any] | Sequence[Mapping[str, Any]]) -> Any:
        """Each feature's contribution to the score, in margin units, and the base value."""
        return self._client().post("/explain", body)

    def queue(self, name: str = "tail") -> QueueView:
        """A queue of the graph: `status()`, `dead_letters()`, `replay()`; raises `NotFoundError`."""
        from ..streams.opened import tail_of
        from ..streams.queue_view import QueueView

        return QueueView(self.name, name, tail_of(self._known_steps(), name).rule, self.settings)

    def figures(self) -> dict[str, Figures]:
        """What each step has done so far, over all replicas of this version and the workers behind its queues; they
        tell it about once a second."""
        told: dict[str, Figures] = {}
        for version in (self.version, *self.part_versions):
            told |= figures_told(self.name, version)
        order = [step.name for step in walk(self.steps)]
        return dict(sorted(told.items(), key=lambda item: order.index(item[0]) if item[0] in order else len(order)))

    def update(self, **changes: Mapping[str, Any]) -> None:
        """Changes settings of steps, by their names, while requests run: `end.update(router={"a": 50, "b": 50})` the
        shares of a router, `end.update(limits={"most": 500})` keyword-only parameters of a function, or what a class's
        `configure` takes. No replica restarts; the version remembers it.

        Raises `InputError` for what is not there, `NotFoundError` where another process deployed the graph.
        """
        self._rollout().update(self.version, lambda known: merged(self._known_steps(), known, changes))

    def plot(self) -> Picture:
        """The graph's picture with each step's figures; raises `NotFoundError` where another process deployed it."""
        from ..pictures.flow_diagram import flow_diagram
        from ..pictures.svg import drawn

        return drawn(flow_diagram(self.name, self._known_steps(), figures=self.figures()))

    def _repr_svg_(self) -> str | None:
        return self.plot().svg if self.steps else None

    def _known_steps(self) -> tuple[Step, ...]:
        if not self.steps:
            raise NotFoundError(
                f"the steps of {self.name!r} are not known here: use what the Graph's deploy() returned"
            )
        return self.steps


def deploy(graph: Declared, how: Serving) -> Endpoint:
    """Starts or updates the graph's service; raises `DeploymentError`, `ModelNotFound`, `ModelMismatch`."""
    made = Deployment.of(graph, how)
    url = Rollout(graph.name, how.settings, how.timeout_s).start(made.service(graph, how), how.trial)
    return Endpoint(
        graph.name, url, made.content, settings=how.settings, steps=made.steps, part_versions=made.part_versions
    )
