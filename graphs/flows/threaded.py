"""A stage that runs in threads, so that its work does not hold up the event loop."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

from .chain import Stage
from .event import Batch


def threaded(stage: Stage, count: int) -> Stage:
    """The stage in up to `count` threads at once."""
    pool = ThreadPoolExecutor(count, thread_name_prefix=f"step-{stage.name}")

    def work(batch: Batch) -> None:
        stage.run(batch)

    async def run(batch: Batch) -> None:
        await asyncio.get_running_loop().run_in_executor(pool, work, batch)

    def close() -> None:
        pool.shutdown(wait=False, cancel_futures=True)
        if stage.close is not None:
            stage.close()

    return Stage(stage.name, run, is_async=True, close=close)
