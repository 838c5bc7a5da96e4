"""What happens to events that a step fails on: again, in time, or something else instead."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Iterable
from typing import Any

from ...runtime.errors import EaglerayError, InputError
from ...runtime.retries import Retries
from .chain import Put, Stage
from .event import Batch, Event
from .step import Step
from .step_options import NOTHING
from .subjects import is_async


def guarded(step: Step, stage: Stage, put: Put) -> Stage:
    """The stage with the step's retries, limit, fallback and handler around it; `put` lets another result count."""
    guard = _Guard(step, stage, put)
    if step.options.waits or stage.is_async or is_async(step.options.on_error) or is_async(step.options.fallback):
        return Stage(stage.name, guard.run_async, is_async=True, close=stage.close)
    return Stage(stage.name, guard.run, close=stage.close)


class _Guard:
    """One step's guard."""

    def __init__(self, step: Step, stage: Stage, put: Put) -> None:
        self._step = step
        self._stage = stage
        self._put = put
        self._options = step.options

    def run(self, batch: Batch) -> None:
        self._stage.run(batch)
        if batch.failed:
            self._settle(batch, [(event, self._instead(event)) for event in batch.failed])

    async def run_async(self, batch: Batch) -> None:
        retries = self._options.retries
        before = {id(event): event.body for event in batch.events} if retries is not None else {}
        await self._limited(batch)
        if batch.failed and retries is not None:
            await self._again(batch, before, retries)
        if batch.failed:
            self._settle(batch, [(event, await self._instead_async(event)) for event in batch.failed])

    async def _limited(self, batch: Batch) -> None:
        limit_s = self._options.timeout_s
        if limit_s is None:
            await self._plainly(batch)
            return
        # On copies: what is not waited for any more must not change an event that has gone on without it.
        inner, back = batch.forked()
        try:
            async with asyncio.timeout(limit_s) as limit:
                await self._plainly(inner)
        except TimeoutError:
            if not limit.expired():
                raise
            late = TimeoutError(f"no result within {limit_s:g} s; give it longer, or a fallback")
            for event in batch.events:
                batch.fail(event, late, self._step.name)
            return
        batch.take_back(inner, back)

    async def _plainly(self, batch: Batch) -> None:
        waiting = self._stage.run(batch)
        if waiting is not None:
            await waiting

    async def _again(self, batch: Batch, before: dict[int, Any], retries: Retries) -> None:
        for attempt in range(retries.attempts):
            again = [event for event in batch.failed if _may_pass(event.error, retries.on)]
            if not again:
                return
            await asyncio.sleep(retries.delay_s(attempt))
            for event in again:
                event.error, event.step, event.body = None, "", before[id(event)]
            batch.failed = [event for event in batch.failed if event.error is not None]
            inner = Batch(again)
            await self._limited(inner)
            batch.adopt(inner)
            tried = {id(event) for event in again}
            batch.keep([*(event for event in batch.events if id(event) not in tried), *inner.events])

    def _instead(self, event: Event) -> Any:
        """The result that counts in place of the failed one; NOTHING where the error stands."""
        options = self._options
        try:
            if options.on_error is not None:
                found = options.on_error(event.error, event.body)
                if found is not None:
                    return found
            fallback = options.fallback
            return fallback(event.body) if callable(fallback) else fallback
        except Exception as error:  # noqa: BLE001 - the handler's own error is what the caller hears
            event.error = error
            return NOTHING

    async def _instead_async(self, event: Event) -> Any:
        instead = self._instead(event)
        if not inspect.isawaitable(instead):
            return instead
        try:
            return await instead
        except Exception as error:  # noqa: BLE001 - as in _instead
            event.error = error
            return NOTHING

    def _settle(self, batch: Batch, found: Iterable[tuple[Event, Any]]) -> None:
        failed = []
        for event, result in found:
            if result is NOTHING or (result is None and self._options.fallback is NOTHING):
                failed.append(event)
                continue
            event.error, event.step = None, ""
            try:
                self._put(event, result)
            except Exception as error:  # noqa: BLE001 - a fallback that does not fit
                event.error, event.step = error, self._step.name
                failed.append(event)
        batch.failed = failed
        _keep_all(batch, [event for event, _ in found])


def _keep_all(batch: Batch, back: Iterable[Event]) -> None:
    """The batch with the rescued events among the others, each once."""
    seen = {id(event): event for event in (*batch.events, *back) if event.error is None and not event.is_dropped}
    batch.keep(list(seen.values()))


def _may_pass(error: Exception | None, on: tuple[type[Exception], ...]) -> bool:
    """True for an error that another try may not meet; what does not fit now will not fit then."""
    if isinstance(error, InputError):
        return False
    return isinstance(error, on or (EaglerayError, OSError, TimeoutError))
