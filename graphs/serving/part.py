"""The steps of a part, in the replicas of its own: takes events from the ingress and gives them back as they became.

Requests that are there at the same time are worked on together, as in the ingress.
"""

from __future__ import annotations

import pickle
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from ...functions.http.load_meter import LoadMeter
from ..flows.chain import Stage
from ..flows.compile import Compiled
from ..flows.event import Batch, Event
from ..flows.gathered import gathered
from ..flows.ports import Predictor
from ..flows.step import walk
from ..flows.step_options import Gathering
from ..flows.travel import EXPLAIN, WARM, opened_event, packed_answer
from ..flows.tuning import Change, apply

MAX_EVENTS = 256  # worked on together


class PartApp:
    """What a replica of a part runs."""

    def __init__(
        self,
        compiled: Compiled,
        *,
        changes: Mapping[str, Change] | None = None,
        worked: Callable[[], None] = lambda: None,
    ) -> None:
        self._compiled = compiled
        self._worked = worked
        self._changes = changes or {}
        self.keep: Callable[[bytes], None] = lambda _: None  # takes what a rehearsal asked, for replicas to come
        chain = compiled.flow.chain
        self._run: Callable[[Batch], Awaitable[None] | None]
        if chain.is_async:
            self._run = chain.run_async
        else:
            self._run = gathered(Stage("part", chain.run), Gathering(MAX_EVENTS)).run
        self._models: dict[str, Predictor] = {
            step.name: step.subject for step in walk(compiled.flow.steps) if step.kind == "predict"
        }
        self._scorers = {id(model): name for name, model in self._models.items()}
        self._meter = LoadMeter(time.time_ns() // 1_000)

    async def answer(self, asked: bytes) -> bytes:
        """What has become of the events that were asked about, or what a model's scores are made of."""
        what, *told = pickle.loads(asked)
        if what == EXPLAIN:
            step, rows = told
            return pickle.dumps(self._models[step].explain(rows), 5)
        (packed,) = told
        if what == WARM:
            self.keep(asked)
        for _ in packed:
            self._meter.begin(time.time_ns() // 1_000)
        try:
            return pickle.dumps(await self._answers(packed), 5)
        finally:
            self._worked()
            for _ in packed:
                self._meter.end(time.time_ns() // 1_000)

    async def _answers(self, packed: list[bytes]) -> list[bytes | Exception]:
        found: list[bytes | Exception] = [b""] * len(packed)
        events: list[tuple[int, Event]] = []
        for place, one in enumerate(packed):
            try:
                events.append((place, opened_event(one)))
            except Exception as error:  # noqa: BLE001 - whatever a user's object raises when it is read
                found[place] = TypeError(f"what the step is given cannot be read in its replicas: {error}")
        batch = Batch([event for _, event in events])
        waiting = self._run(batch)
        if waiting is not None:
            await waiting
        for place, event in events:
            found[place] = packed_answer(event, self._scorers)
        return found

    def configure(self, config: Mapping[str, Any] | None) -> None:
        """The steps' settings, from the next event on."""
        apply(self._changes, (config or {}).get("live"))

    def in_flight(self) -> float:
        """The mean number of events in flight since the last call; the autoscaler's measure."""
        return self._meter.mean(time.time_ns() // 1_000)

    def close(self) -> None:
        """Closes what the steps had opened."""
        self._compiled.close()
