"""Where a training set is joined: in this process while memory holds it, else on Ray."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

import polars as pl

from ...runtime.errors import InputError, did_you_mean
from ...runtime.psutil_processes import available_bytes
from ..definitions.wanted import Wanted
from .offline import APPLIED
from .pins import Cut
from .set_join import columns_read

if TYPE_CHECKING:
    from pathlib import Path

    from .ray_table import Dataset

Engine = Literal["local", "ray"]
Labels: TypeAlias = "pl.DataFrame | str | Path | Dataset"
BYTES_A_VALUE = 8
COPIES = 4  # what is read, sorted and merged lies in memory a few times over
SHARE = 0.5  # of the memory that is free


def chosen(engine: str | None, labels: object, *, wanted: Sequence[Wanted], cuts: Mapping[str, Cut]) -> Engine:
    """As asked, or by size; raises `InputError` for an engine that there is not, or that these labels do not go to."""
    if engine is not None and engine not in get_args(Engine):
        raise InputError(f"engine={engine!r}{did_you_mean(engine, get_args(Engine))}")
    if not isinstance(labels, pl.DataFrame):
        if engine == "local":
            raise InputError('engine="local" joins a Polars frame: read the labels first, or leave the engine out')
        return "ray"
    if engine is not None:
        return "local" if engine == "local" else "ray"
    return "local" if bytes_needed(labels, wanted=wanted, cuts=cuts) <= SHARE * available_bytes() else "ray"


def bytes_needed(labels: pl.DataFrame, *, wanted: Sequence[Wanted], cuts: Mapping[str, Cut]) -> int:
    """About what a join in one process takes at its peak: its largest set, the labels and their features."""
    features = sum(len(item.refs) for item in wanted) * labels.height * BYTES_A_VALUE
    return COPIES * max((_table_bytes(item, cuts[item.applied.label]) for item in wanted), default=0) + 2 * (
        features + int(labels.estimated_size())
    )


def _table_bytes(item: Wanted, cut: Cut) -> int:
    events = sum(last + 1 for last in cut.offsets.values())
    return events * len(columns_read(item, APPLIED)) * BYTES_A_VALUE
