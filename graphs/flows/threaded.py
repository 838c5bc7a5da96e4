"""A stage that runs in threads, so that its work does not hold up the event loop."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

from .chain import Stage
from .event import Batch


def threaded(stage: Stage, count: int) -> Stage:
    """The stage in up to `count` threads at once.

    It works on copies: a thread that is not waited for any more must not change an event that went on without it.
    """
    pool = ThreadPoolExecutor(count, thread_name_prefix=f"step-{stage.name}")

    def work(batch: Batch) -> None:
        stage.run(batch)

    async def run(batch: Batch) -> None:
        twins = [event.fork() for event in batch.events]
        inner = Batch(twins)
        inner.rows = batch.rows
        await asyncio.get_running_loop().run_in_executor(pool, work, inner)
        back = {id(twin): event for twin, event in zip(twins, batch.events, strict=True)}
        for twin, event in zip(twins, batch.events, strict=True):
            event.take(twin)
        batch.failed = [back[id(twin)] for twin in inner.failed]
        batch.events = [back.get(id(event), event) for event in inner.events]
        batch.rows = inner.rows

    def close() -> None:
        pool.shutdown(wait=False, cancel_futures=True)
        if stage.close is not None:
            stage.close()

    return Stage(stage.name, run, is_async=True, close=close)
