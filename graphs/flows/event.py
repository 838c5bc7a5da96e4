"""One request on its way through a graph, and the requests that travel together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from .ports import Predictor

Body = dict[str, Any]
Score = float | list[float]


@dataclass(frozen=True, slots=True)
class Origin:
    """An event's place in a log, from which it may come more than once: `offset` in `source`, where all up to `done` is
    done for good. `part` tells apart what one event was made into."""

    source: str
    offset: int
    done: int
    part: str = ""


class _Values:
    """A dict of the event's own, made when it is first asked for; from then on it is the event's attribute."""

    def __get__(self, event: Event, owner: type) -> Body:
        made: Body = {}
        event.values = made
        return made


class Event:
    """One request: `body` is what came in, `id` names it in answers, taps and labels.

    Steps fill in the rest: `row` (one float64 a feature, NaN for null; `features` has them by name), `score` (a number,
    or one a class), `contributions` (one a feature, the base value last) and whatever they want to hand on in `values`.
    `error` and `step` say what ended it, and where; `children` is what `flatten` made of it; `is_dry` says that it only
    asks what would be answered, so that nothing may be changed for it.
    """

    # What a request leaves as it was costs it nothing: the class holds it for all.
    names: tuple[str, ...] = ()
    row: NDArray[np.float64] | None = None
    score: Score | None = None
    contributions: NDArray[np.float64] | None = None
    model: Predictor | None = None
    error: Exception | None = None
    step = ""
    children: list[Event] | None = None
    is_dropped = False
    origin: Origin | None = None
    is_dry = False
    if TYPE_CHECKING:
        values: Body
    else:
        values = _Values()

    def __init__(self, body: Body, id: str) -> None:  # noqa: A002 - the word users know it by
        self.body = body
        self.id = id

    @property
    def features(self) -> dict[str, float]:
        """The features read so far, by name; NaN for null."""
        return {} if self.row is None else dict(zip(self.names, self.row.tolist(), strict=True))

    def fork(self) -> Event:
        """A copy for a branch of its own: what is put into one is not seen by the other."""
        twin = Event(dict(self.body), self.id)
        twin.names, twin.row, twin.score, twin.model = self.names, self.row, self.score, self.model
        twin.contributions, twin.values, twin.origin = self.contributions, dict(self.values), self.origin
        twin.is_dry = self.is_dry
        return twin

    def take(self, twin: Event) -> None:
        """Becomes what its fork has become."""
        vars(self).clear()
        vars(self).update(vars(twin))

    def failure(self) -> Event | None:
        """The event itself where an error ended it, or the first such one among its children."""
        if self.error is not None:
            return self
        return next((found for child in self.children or () if (found := child.failure()) is not None), None)

    def __repr__(self) -> str:
        return f"Event(id={self.id!r}, fields={sorted(self.body)}, score={self.score})"


class Batch:
    """Events that take the same steps together: one read of features and one prediction for all of them.

    `origins` are those that came in, `events` those that are still on their way, `rows` is events x features once they
    were read. `failed` are those that the step at work has failed on, `lost` those of the steps before.
    """

    rows: NDArray[np.float64] | None = None
    lost: tuple[Event, ...] = ()

    def __init__(self, events: list[Event]) -> None:
        self.events = events
        self.origins = events
        self.failed: list[Event] = []

    @classmethod
    def of(cls, bodies: Sequence[Mapping[str, Any]], request_id: str) -> Batch:
        """An event a body: its own "id" names it, else the request's id (with its place when there are several)."""
        if len(bodies) == 1:
            body = bodies[0]
            name = str(body["id"]) if "id" in body else request_id
            return cls([Event(body if type(body) is dict else dict(body), name)])
        return cls(
            [
                Event(
                    body if type(body) is dict else dict(body),
                    str(body["id"]) if "id" in body else f"{request_id}-{place}",
                )
                for place, body in enumerate(bodies)
            ]
        )

    @property
    def first_failure(self) -> Event | None:
        """The first event that an error has ended."""
        return next((found for event in self.origins if (found := event.failure()) is not None), None)

    @property
    def step(self) -> str:
        """The step that failed; empty when none has."""
        failed = self.first_failure
        return "" if failed is None else failed.step

    def fail(self, event: Event, error: Exception, step: str) -> None:
        """Ends an event's way."""
        event.error = error
        event.step = event.step or step  # the innermost step names it
        self.failed.append(event)

    def drop_failed(self) -> None:
        """Takes the failed ones out."""
        self.lost += tuple(self.failed)
        self.failed = []
        self.keep([event for event in self.events if event.error is None])

    def keep(self, events: list[Event]) -> None:
        """Goes on with these events only."""
        self.events = events
        self.rows = None

    def forked(self) -> tuple[Batch, dict[int, Event]]:
        """A batch of copies, and the event behind each, by the copy's `id()`."""
        twins = [event.fork() for event in self.events]
        batch = Batch(twins)
        batch.rows = self.rows
        return batch, {id(twin): event for twin, event in zip(twins, self.events, strict=True)}

    def take_back(self, forked: Batch, back: Mapping[int, Event]) -> None:
        """Becomes what its copies have become."""
        for twin in forked.origins:
            back[id(twin)].take(twin)
        self.failed += [back[id(twin)] for twin in (*forked.lost, *forked.failed)]
        self.events = [back.get(id(event), event) for event in forked.events]
        self.rows = forked.rows

    def adopt(self, inner: Batch) -> None:
        """Notes as failed what failed in a part of the graph."""
        self.failed += inner.lost
        self.failed += inner.failed
