"""A compiled graph: its steps as plain calls over a batch of events, in one process."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from ...runtime.errors import InputError
from .answer import answering, shape
from .build import build
from .event import Batch, Event
from .features import contributions_async
from .outside import Outside
from .ports import Predictor
from .reasons import given_at, kept, told
from .step import Step, walk
from .travel import WARMING

Answers = list[Any]
WARM_UP = "warm-up"
_SHARED = ("enrich", "predict", "explain")  # one read, one call of a model for the whole batch


class Flow:
    """Runs events through the steps; safe to use from several tasks and threads when the steps are.

    `is_async` is True when a step is async; then only `run_async` works. `gathers` is True when a step's cost for many
    events is little more than for one. `rescue(error, body)` answers for events that failed, or gives None to let the
    error stand.
    """

    def __init__(
        self,
        name: str,
        steps: Sequence[Step],
        *,
        outside: Outside | None = None,
        rescue: Callable[..., Any] | None = None,
    ) -> None:
        self.name = name
        self.steps = tuple(steps)
        given = outside or Outside()
        enrich = next((step for step in steps if step.kind == "enrich"), None)
        reader = None if enrich is None else given.reader(name, enrich)
        self.model: Predictor | None = next((s.subject for s in steps if s.kind == "predict"), None)
        names = self.model.features if self.model is not None else () if reader is None else reader.names
        self.feature_names: tuple[str, ...] = tuple(names)
        self._tap = given.tap
        self._reasons = given_at(steps)
        # A request that says when it happened is watched at that time: a replayed day is profiled as that day.
        self._moment_us = None if reader is None else reader.moment_us
        self._rescue = rescue
        self._respond = answering(steps)
        self.chain = build(name, steps, given)
        self.is_async = self.chain.is_async
        self.gathers = any(step.kind in _SHARED for step in walk(steps))

    def run(self, batch: Batch) -> Answers:
        """The answers, one an event: a list where a step made several of it, None where one dropped it.

        Raises what the first event that failed was ended by; `batch.step` names the step.
        """
        self.chain.run(batch)
        return self._answers(batch)

    def run_together(self, batches: list[Batch]) -> list[Answers | Exception]:
        """Each batch's answers, or the error that its own events caused; one read and one prediction for all.

        A user's function runs once an event. Only reading and predicting, which change nothing, are done again where
        one of the events makes them fail.
        """
        self.chain.run(Batch([event for batch in batches for event in batch.events]))
        return [self._outcome(batch) for batch in batches]

    async def run_async(self, batch: Batch) -> Answers:
        """Like `run`, awaiting the async steps."""
        await self.chain.run_async(batch)
        return self._answers(batch)

    async def run_together_async(self, batches: list[Batch]) -> list[Answers | Exception]:
        """Like `run_together`, awaiting the async steps."""
        await self.chain.run_async(Batch([event for batch in batches for event in batch.events]))
        return [self._outcome(batch) for batch in batches]

    async def explain(self, batch: Batch) -> list[dict[str, Any]]:
        """Each event's score, contributions by feature and base value, in margin units: they add up to the margin.

        Also the reasons, where the graph's explain step or the model has `ReasonCodes`.

        Nothing reaches taps, queues and states: a question about a decision is not one.
        """
        for event in batch.events:
            event.is_dry = True
        await self.chain.run_async(batch)
        _raise_failure(batch)
        if not any(step.kind == "predict" for step in walk(self.steps)):
            raise InputError(f"{self.name} predicts nothing, so there is nothing to explain")
        found = await contributions_async(batch.events)
        return [
            {
                "id": event.id,
                "score": event.score,
                "base_value": float(parts[-1]),
                "contributions": dict(zip(event.names, parts[:-1].tolist(), strict=True)),
                "features": event.features,
                **told(event, parts, self._reasons),
            }
            for event, parts in zip(batch.events, found, strict=True)
        ]

    def outcome(self, event: Event) -> Any:
        """The answer to an event that came to the end of the steps, or the error that ended it."""
        try:
            return self._answer(event)
        except Exception as error:  # noqa: BLE001 - it belongs to whoever asks
            return error

    async def warm_up(self, bodies: Sequence[Mapping[str, Any]]) -> None:
        """Runs bodies through the steps, for what is slow only the first time; raises what one of them fails with.

        As for `explain`, nothing else hears of them.
        """
        batch = Batch.of(bodies, WARM_UP)
        for event in batch.events:
            event.is_dry = True
        is_warming = WARMING.set(True)
        try:
            await self.chain.run_async(batch)
        finally:
            WARMING.reset(is_warming)
        _raise_failure(batch)

    def test(self, body: Mapping[str, Any] | Sequence[Mapping[str, Any]]) -> Any:
        """The answer to a body, or the answers to a list of them, with no server; closes the flow."""
        batch = Batch.of([body] if isinstance(body, Mapping) else body, "test")
        answers = _in_a_loop(self, batch) if self.is_async else self.run(batch)
        return answers[0] if isinstance(body, Mapping) else answers

    def close(self) -> None:
        """Gives back what the steps hold."""
        self.chain.close()

    def _outcome(self, batch: Batch) -> Answers | Exception:
        try:
            return self._answers(batch)
        except Exception as error:  # noqa: BLE001 - it belongs to whoever waits for this batch
            return error

    def _answers(self, batch: Batch) -> Answers:
        origins = batch.origins
        answers = [self._answer(origins[0])] if len(origins) == 1 else [self._answer(event) for event in origins]
        tap = self._tap
        if tap is not None:
            now_us = time.time_ns() // 1_000
            moment_us = self._moment_us
            for event in origins:
                if event.model is self.model and event.row is not None and isinstance(event.score, float):
                    at_us = now_us if moment_us is None else moment_us(event.body)
                    reasons = () if event.contributions is None else kept(event)
                    tap.put(event.id, event.row, event.score, at_us, reasons)
        return answers

    def _answer(self, event: Event) -> Any:
        error = event.error
        if error is None:
            if event.children is not None:
                return [self._answer(child) for child in event.children]
            if event.is_dropped:
                return None
            try:
                return self._respond(event)
            except Exception as raised:
                event.error, event.step = raised, "respond"
                raise
        if self._rescue is not None:
            instead = self._rescue(error, event.body)
            if instead is not None:
                return instead
        if not getattr(error, "__notes__", None):  # one error may be that of several events
            error.add_note(f"in step {event.step!r} of {self.name!r}, given {shape(event.body)}")
        raise error


def _raise_failure(batch: Batch) -> None:
    for event in batch.origins:
        failed = event.failure()
        if failed is not None and failed.error is not None:
            raise failed.error


def _in_a_loop(flow: Flow, batch: Batch) -> Answers:
    """Runs an async flow from plain code, also in a notebook, whose own loop is at work."""

    async def run() -> Answers:
        try:
            return await flow.run_async(batch)
        finally:
            flow.close()
            await asyncio.sleep(0)  # connections end in their loop

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(run())
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, run()).result()
