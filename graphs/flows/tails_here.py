"""Tails that run at once, in the process that hands the events over: what a test of a graph shows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from .event import Batch
from .event_codec import EventCodec
from .flow import Flow
from .own_loop import OwnLoop
from .queued import Parcel


class Runs(Protocol):
    """A compiled tail."""

    @property
    def flow(self) -> Flow: ...

    def close(self) -> None: ...


class TailHere:
    """One tail; its answers, or {"error": why} for an event that would be tried again and then put aside."""

    def __init__(self, tail: Runs, codec: EventCodec) -> None:
        self._tail = tail
        self._codec = codec
        self._loop = OwnLoop() if tail.flow.is_async else None

    def put(self, parcels: Sequence[Parcel]) -> list[Any]:
        """Runs the tail for all of them together."""
        events = [self._codec.event(parcel.data) for parcel in parcels]
        flow = self._tail.flow
        batches = [Batch([event]) for event in events]
        found = flow.run_together(batches) if self._loop is None else self._loop.run(flow.run_together_async(batches))
        return [
            {"error": f"{batch.step}: {type(one).__name__}: {one}"} if isinstance(one, Exception) else one[0]
            for batch, one in zip(batches, found, strict=True)
        ]

    def close(self) -> None:
        """Closes the tail."""
        self._tail.close()
        if self._loop is not None:
            self._loop.close()
