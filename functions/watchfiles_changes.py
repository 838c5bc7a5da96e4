"""Adapter: tells when Python files in a folder change."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import watchfiles


async def changes(folder: Path, stop: asyncio.Event) -> AsyncIterator[set[Path]]:
    """The files of each round of changes, within a fraction of a second, until `stop` is set."""
    watching = watchfiles.awatch(
        folder, watch_filter=watchfiles.PythonFilter(), debounce=200, step=50, stop_event=stop, recursive=True
    )
    async for found in watching:
        yield {Path(path) for _, path in found}
