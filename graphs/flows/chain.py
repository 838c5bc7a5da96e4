"""Stages one after another: what a list of steps becomes."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from .event import Batch, Event

Put = Callable[[Event, Any], None]
# What it returns is awaited, when it is an async stage.
Run = Callable[[Batch], Awaitable[None] | None]


@dataclass(frozen=True, slots=True)
class Stage:
    """One step ready to run; an async one needs an event loop. `close` gives back what it holds.

    `put(event, result)` lets a result count that the step did not come to itself.
    """

    name: str
    run: Run
    is_async: bool = False
    close: Callable[[], Any] | None = None
    put: Put | None = None

    @classmethod
    def of(cls, name: str, run: Any) -> Stage:
        """A stage of a function, or of an object that is called and may have an `is_async` and a `close` of its own."""
        is_async = getattr(run, "is_async", None)
        return cls(
            name,
            run,
            inspect.iscoroutinefunction(run) if is_async is None else bool(is_async),
            getattr(run, "close", None),
            getattr(run, "put_instead", None),
        )


class Chain:
    """Runs a batch through stages until they end or no event is left."""

    __slots__ = ("_runs", "is_async", "stages")

    def __init__(self, stages: Sequence[Stage]) -> None:
        self.stages = tuple(stages)
        self.is_async = any(stage.is_async for stage in stages)
        self._runs = tuple(stage.run for stage in stages)

    def run(self, batch: Batch) -> None:
        """All stages; only where none is async."""
        for run in self._runs:
            run(batch)
            if batch.failed:
                batch.drop_failed()
            if not batch.events:
                return

    async def run_async(self, batch: Batch) -> None:
        """All stages, awaiting the async ones."""
        for run in self._runs:
            waiting = run(batch)
            if waiting is not None:
                await waiting
            if batch.failed:
                batch.drop_failed()
            if not batch.events:
                return

    def close(self) -> None:
        """Gives back what the stages hold."""
        for stage in self.stages:
            if stage.close is not None:
                stage.close()
