"""Concurrent requests travel together: what arrives in one turn of the event loop shares one read and one prediction.

Nothing ever waits for company: a request that comes alone runs at once. When there was company in the turn before, what
arrives is put together until the turn ends, which is at once too; so batches grow with the load by themselves.
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

    __slots__ = ("_flow", "_had_company", "_scheduled", "_waiting")

    def __init__(self, flow: Flow) -> None:
        self._flow = flow
        self._waiting: list[tuple[Batch, asyncio.Future[Answers]]] = []
        self._scheduled = False
        self._had_company = False

    async def run(self, batch: Batch) -> Answers:
        """The batch's answers; raises what its own events caused, never what another request's did."""
        if self._flow.is_async:
            return await self._flow.run_async(batch)
        loop = asyncio.get_running_loop()
        is_first = not self._scheduled
        if is_first:
            self._scheduled = True
            loop.call_soon(self._end_turn)
            if not self._had_company:
                return self._flow.run(batch)
        future: asyncio.Future[Answers] = loop.create_future()
        self._waiting.append((batch, future))
        return await future

    def _end_turn(self) -> None:
        waiting, self._waiting = self._waiting, []
        self._scheduled = False
        # The turn's first request is among those that waited only when it expected company.
        self._had_company = len(waiting) > (1 if self._had_company else 0)
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
