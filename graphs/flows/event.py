"""One request on its way through a graph, and the requests that travel together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Body = dict[str, Any]


class Event:
    """One request: `body` is what came in, `id` names it in answers, taps and labels.

    Steps fill in the rest: `row` (one float64 a feature, NaN for null; `features` has them by name), `score`,
    `contributions` (one a feature, the base value last) and whatever they want to hand on in `values`.
    """

    __slots__ = ("body", "contributions", "id", "names", "row", "score", "values")

    def __init__(self, body: Body, id: str) -> None:  # noqa: A002 - the word users know it by
        self.body = body
        self.id = id
        self.names: tuple[str, ...] = ()
        self.row: NDArray[np.float64] | None = None
        self.score: float | None = None
        self.contributions: NDArray[np.float64] | None = None
        self.values: Body = {}

    @property
    def features(self) -> dict[str, float]:
        """The features read so far, by name; NaN for null."""
        return {} if self.row is None else dict(zip(self.names, self.row.tolist(), strict=True))

    def __repr__(self) -> str:
        return f"Event(id={self.id!r}, fields={sorted(self.body)}, score={self.score})"


class Batch:
    """Events that take the same steps together: one read of features and one prediction for all of them.

    `rows` is events x features once they were read; `step` names the step that runs or failed.
    """

    __slots__ = ("events", "rows", "step")

    def __init__(self, events: list[Event]) -> None:
        self.events = events
        self.rows: NDArray[np.float64] | None = None
        self.step = ""

    @classmethod
    def of(cls, bodies: Sequence[Mapping[str, Any]], request_id: str) -> Batch:
        """An event a body: its own "id" names it, else the request's id (with its place when there are several)."""
        many = len(bodies) > 1
        return cls(
            [
                Event(
                    body if type(body) is dict else dict(body),
                    str(body["id"]) if "id" in body else f"{request_id}-{place}" if many else request_id,
                )
                for place, body in enumerate(bodies)
            ]
        )
