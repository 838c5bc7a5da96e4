"""One call of a stage for several requests that are under way at the same time.

A stage in threads runs one call at a time; what comes meanwhile waits together, so that batches grow with the load.
"""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np

from .chain import Stage
from .event import Batch
from .step_options import Gathering

Waiting = tuple[Batch, "asyncio.Future[None]"]


def gathered(stage: Stage, gathering: Gathering) -> Stage:
    """The stage, shared by the requests of one event loop."""
    return Stage(stage.name, _Gatherer(stage, gathering).run, is_async=True, close=stage.close)


class _Gatherer:
    """Those that wait for the next call."""

    def __init__(self, stage: Stage, gathering: Gathering) -> None:
        self._stage = stage
        self._gathering = gathering
        self._waiting: list[Waiting] = []
        self._events = 0
        self._timer: asyncio.Handle | None = None
        self._at_work: asyncio.Task[None] | None = None

    async def run(self, batch: Batch) -> None:
        """Returns when the batch has been through the stage."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()
        self._waiting.append((batch, future))
        self._events += len(batch.events)
        if self._at_work is None:
            if self._events >= self._gathering.max_size:
                self._begin()
            elif self._timer is None:
                wait_s = self._gathering.wait_ms / 1000
                self._timer = loop.call_later(wait_s, self._begin) if wait_s else loop.call_soon(self._begin)
        await future

    def _begin(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._at_work is not None or not self._waiting:
            return
        group = self._next()
        if not self._stage.is_async:
            _finish(group, _together(group, self._stage))
            if self._waiting:
                self._begin()
            return
        self._at_work = asyncio.ensure_future(self._work(group))

    async def _work(self, group: list[Waiting]) -> None:
        try:
            merged = _merged(group)
            problem: Exception | None = None
            try:
                waiting = self._stage.run(merged)
                if waiting is not None:
                    await waiting
            except Exception as error:  # noqa: BLE001 - they all hear it
                problem = error
            _finish(group, problem or merged)
        finally:
            self._at_work = None
            if self._waiting:
                self._begin()

    def _next(self) -> list[Waiting]:
        """The first of those that wait, as many as make `max_size` events, at least one."""
        events = 0
        group: list[Waiting] = []
        while self._waiting:
            size = len(self._waiting[0][0].events)
            if group and events + size > self._gathering.max_size:
                break
            group.append(self._waiting.pop(0))
            events += size
        self._events -= events
        return group


def _together(group: list[Waiting], stage: Stage) -> Batch | Exception:
    merged = _merged(group)
    try:
        stage.run(merged)
    except Exception as error:  # noqa: BLE001 - they all hear it
        return error
    return merged


def _merged(group: list[Waiting]) -> Batch:
    if len(group) == 1:
        return group[0][0]
    merged = Batch([event for batch, _ in group for event in batch.events])
    rows = [batch.rows for batch, _ in group if batch.rows is not None]
    if len(rows) == len(group):
        merged.rows = np.concatenate(rows)
    return merged


def _finish(group: list[Waiting], done: Batch | Exception) -> None:
    """Gives each batch its share of what was done, and wakes who waits for it."""
    if isinstance(done, Batch) and len(group) > 1:
        failed = {id(event) for event in done.failed}
        place = 0
        for batch, _ in group:
            end = place + len(batch.events)
            batch.rows = None if done.rows is None else done.rows[place:end]
            batch.failed = [event for event in batch.events if id(event) in failed]
            place = end
    for _, future in group:
        _wake(future, done if isinstance(done, Exception) else None)


def _wake(future: asyncio.Future[Any], error: Exception | None) -> None:
    if future.done():
        return  # who asked has left
    if error is not None:
        future.set_exception(error)
    else:
        future.set_result(None)
