"""Keeps rows that cannot be worked through from stopping the others: a frame is halved until each bad row is alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from .log import DeadLetter

# What makes a frame: its rows made, which of them are good, a letter for each that is not.
Make = Callable[[pl.DataFrame], tuple[pl.DataFrame, pl.Series, tuple[DeadLetter, ...]]]
MOST_HALVINGS = 2_000  # past that, what still fails is put aside whole: a transform that never works must not hang


@dataclass(frozen=True, slots=True)
class Sifted:
    """What came through and where it stood in the frame that was given; for each other row its place and the reason."""

    made: pl.DataFrame
    positions: NDArray[np.int64]
    refused: tuple[tuple[int, str], ...]


def sifted(frame: pl.DataFrame, make: Make) -> Sifted:
    """Every row that `make` takes, made; it must treat each row alike, whatever rows stand beside it.

    A frame without a bad row costs one call, one bad row among n some log2(n) more.
    """
    made, positions, refused = [], [], list[tuple[int, str]]()
    waiting, calls = [(0, frame.height)], 0
    while waiting:
        first, end = waiting.pop()
        piece = frame if end - first == frame.height else frame[first:end]
        calls += 1
        try:
            whole, good, letters = make(piece)
        except Exception as error:  # noqa: BLE001 - a user's transform may raise anything; the reason goes on record
            if end - first > 1 and calls < MOST_HALVINGS:
                middle = (first + end) // 2
                waiting += [(middle, end), (first, middle)]
            else:
                reason = f"{type(error).__name__}: {_first_line(error)}"
                refused += [(place, reason) for place in range(first, end)]
            continue
        if letters:
            refused += _reasons(piece, good, letters, make=make, first=first)
            whole = whole.filter(good)
            positions.append(first + good.arg_true().to_numpy().astype(np.int64))
        else:
            positions.append(np.arange(first, end, dtype=np.int64))
        made.append(whole)
    together = np.concatenate(positions) if positions else np.zeros(0, dtype=np.int64)
    return Sifted(pl.concat(made) if made else pl.DataFrame(), together, tuple(sorted(refused)))


def _reasons(
    piece: pl.DataFrame, good: pl.Series, letters: tuple[DeadLetter, ...], *, make: Make, first: int
) -> list[tuple[int, str]]:
    bad = (~good).arg_true().to_list()
    if len({letter.reason for letter in letters}) == 1:
        return [(first + place, letters[0].reason) for place in bad]
    # Letters do not say which row they are about; alone, a row gets its own.
    return [(first + place, make(piece[place : place + 1])[2][0].reason) for place in bad]


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or ["no reason given"])[0][:500]
