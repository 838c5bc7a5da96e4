"""Independent pieces of a large join at once: numpy and Polars let other threads run while they compute."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import polars as pl

T = TypeVar("T")
U = TypeVar("U")
FEW_ROWS = 50_000  # below it, a thread costs more than it saves


def at_once(pieces: Sequence[Callable[[], T]], *, rows: int) -> list[T]:
    """What each piece of work gives, in order, by as many threads as Polars has; one after the other for few rows."""
    threads = min(pl.thread_pool_size(), len(pieces))
    if rows < FEW_ROWS or threads <= 1:
        return [piece() for piece in pieces]
    with ThreadPoolExecutor(max_workers=threads) as pool:
        return list(pool.map(lambda piece: piece(), pieces))


def both(first: Callable[[], T], second: Callable[[], U], *, rows: int) -> tuple[T, U]:
    """`at_once` of two that give different things."""
    if rows < FEW_ROWS or pl.thread_pool_size() == 1:
        return first(), second()
    with ThreadPoolExecutor(max_workers=1) as pool:
        later = pool.submit(second)
        return first(), later.result()
