"""Concurrent requests travel together: what arrives in one turn of the event loop shares one read and one prediction.

Nothing ever waits for company: what a turn brought in runs when it ends, which is at once; so batches grow with the
load by themselves. A flow that neither reads nor predicts gains nothing from it, and its requests run as they come.
"""

from __future__ import annotations

import asyncio
from typing import Any

from ..flows.event import Batch
from ..flows.flow import Flow

Answers = list[Any]
MAX_EVENTS = 256


class Gatherer:
    """Runs a flow for one event loop."""

    __slots__ = ("_flow", "_waiting")

    def __init__(self, flow: Flow) -> None:
        self._flow = flow
        self._waiting: list[tuple[Batch, asyncio.Future[Answers]]] = []

    async def run(self, batch: Batch) -> Answers:
        """The batch's answers; raises what its own events caused, never what another request's did."""
        if self._flow.is_async:
            return await self._flow.run_async(batch)
        if not self._flow.gathers:
            return self._flow.run(batch)
        loop = asyncio.get_running_loop()
        if not self._waiting:
            loop.call_soon(self._end_turn)
        future: asyncio.Future[Answers] = loop.create_future()
        self._waiting.append((batch, future))
        return await future

    def _end_turn(self) -> None:
        waiting, self._waiting = self._waiting, []
        while waiting:
            group = _first(waiting)
            waiting = waiting[len(group) :]
            results = self._flow.run_together([batch for batch, _ in group])
            for (_, future), result in zip(group, results, strict=True):
                if future.done():
                    continue  # the client has left
                if isinstance(result, Exception):
                    future.set_exception(result)
                else:
                    future.set_result(result)


def _first(waiting: list[tuple[Batch, asyncio.Future[Answers]]]) -> list[tuple[Batch, asyncio.Future[Answers]]]:
    """As many of the first as make a batch of at most `MAX_EVENTS` events, at least one."""
    events = 0
    for place, (batch, _) in enumerate(waiting):
        events += len(batch.events)
        if place and events > MAX_EVENTS:
            return waiting[:place]
    return waiting
