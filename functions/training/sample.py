"""A bounded sample of a table that is read in blocks: the same rows whatever the order and size of the blocks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from ...runtime.errors import InputError, did_you_mean
from .blocks import Blocks

COPIES = 4  # of a table in memory at the peak: sampled, sorted, as float32, in Ray's store
_MOST_CLASSES = 100
_FEWEST_ROWS = 1_000
_FEWEST_GROUPS = 10
_HASH, _QUOTA, _CAP, _ALL = (f"__eagleray_{name}" for name in ("hash", "quota", "cap", "all"))
_HIGHEST = 2**64 - 1


@dataclass(frozen=True, slots=True)
class Plan:
    """How to sample: for a search that may take so many bytes (four times its table), whole `groups`, or else each
    class and each value of `marks` in
    proportion."""

    memory_bytes: int
    label: str
    groups: str | None = None
    marks: str | None = None
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Taken:
    """Rows in memory, and how many there are in all; `all_rows` reads those, None where they are in memory.

    `how` says how the rows were chosen, `memory_bytes` what the plan allows.
    """

    table: pl.DataFrame
    rows: int
    all_rows: Blocks | None = None
    how: str = ""
    memory_bytes: int = 0


@dataclass(frozen=True, slots=True)
class _Counted:
    rows: int
    strata: pl.DataFrame  # label, marks, count
    groups: pl.DataFrame  # hash, count


def take(source: Blocks, plan: Plan) -> Taken:
    """All rows where they fit the plan's bytes, else a sample: those with the smallest hashes of their values.

    A row's hash depends on its values and the seed, so that the sample does not depend on the blocks
    (bottom-k sampling; Cohen and Kaplan 2007). Of `groups` those with the smallest hashes are taken whole. Without them
    each class of at most a hundred has its share to the row. Raises `InputError` for a label that is unknown in some
    rows and for a bound that is too small.
    """
    if not isinstance(plan.label, str):
        raise InputError(f"label is {plan.label!r}: give the name of the column to predict")
    for name in (plan.label, plan.groups, plan.marks):
        if name is not None and name not in source.columns:
            raise InputError(f"no column {name!r}{did_you_mean(name, source.columns)}")
    counted = _count(source, plan)
    row_bytes = _row_bytes(source)
    most = int(plan.memory_bytes // (COPIES * row_bytes))
    if counted.rows <= most:
        blocks = list(source.read(source.columns))
        return Taken(pl.concat(blocks) if blocks else pl.DataFrame(schema=source.columns), counted.rows)
    if most < _FEWEST_ROWS:
        raise InputError(
            f"memory_bytes holds {most:,} rows of {row_bytes:.0f} bytes, too few to search over: give at least "
            f"{int(_FEWEST_ROWS * COPIES * row_bytes) + 1:,}"
        )
    if plan.groups is not None:
        table, how = _whole_groups(source, plan, counted, most), f"whole groups of {plan.groups!r}"
    else:
        table, how = _in_proportion(source, plan, counted, most), "each class in proportion"
        if counted.strata.height < 2:
            how = "by the hash of a row"
    return Taken(table, counted.rows, source, how, plan.memory_bytes)


def _count(source: Blocks, plan: Plan) -> _Counted:
    """How many rows there are of each class and group; one pass over these columns."""
    keys = [plan.label, *([plan.marks] if plan.marks else [])]
    names = list(dict.fromkeys([*keys, *([plan.groups] if plan.groups else [])]))
    rows, strata, groups, unknown = 0, pl.DataFrame(), pl.DataFrame(), 0
    few = True
    for block in source.read(names):
        rows += block.height
        label = block[plan.label]
        unknown += label.null_count() + (int((~label.is_finite()).sum()) if label.dtype.is_float() else 0)
        if few:
            strata = _added(strata, block.group_by(keys).len())
            few = strata.height <= _MOST_CLASSES
        if plan.groups is not None:
            if block[plan.groups].null_count():
                raise InputError(f"groups {plan.groups!r} has nulls: fill them or drop those rows")
            groups = _added(groups, pl.DataFrame({_HASH: block[plan.groups].hash(plan.seed)}).group_by(_HASH).len())
    if unknown:
        raise InputError(f"label {plan.label!r} is unknown in {unknown} rows: drop them first")
    return _Counted(rows, strata if few else pl.DataFrame(), groups)


def _added(counts: pl.DataFrame, more: pl.DataFrame) -> pl.DataFrame:
    both = pl.concat([counts, more]) if counts.width else more
    return both.group_by(pl.exclude("len")).agg(pl.col("len").sum())


def _row_bytes(source: Blocks) -> float:
    """What a row takes in memory, at least that of as many float32; by the first block."""
    for block in source.read(source.columns):
        if block.height:
            return max(4.0 * block.width, block.estimated_size() / block.height)
    return 4.0 * len(source.columns)


def _in_proportion(source: Blocks, plan: Plan, counted: _Counted, most: int) -> pl.DataFrame:
    keys = [name for name in counted.strata.columns if name != "len"]
    sizes = counted.strata["len"].to_numpy() if keys else np.array([counted.rows])
    # What a stratum may take, and the largest hash that still can be among those.
    bounds = counted.strata.select(keys) if keys else pl.DataFrame({_ALL: [0]})
    bounds = bounds.with_columns(pl.Series(_QUOTA, _quotas(sizes, most)), pl.lit(_HIGHEST, pl.UInt64).alias(_CAP))
    by = keys or [_ALL]

    def marked(block: pl.DataFrame) -> pl.DataFrame:
        hashed = block.with_columns(block.hash_rows(plan.seed).alias(_HASH), *([] if keys else [pl.lit(0).alias(_ALL)]))
        found = hashed.join(bounds, on=by, how="left", nulls_equal=True)
        return found.filter(pl.col(_HASH) <= pl.col(_CAP)).drop(_CAP)

    kept, waiting, height = list[pl.DataFrame](), list[pl.DataFrame](), 0

    def prune() -> pl.DataFrame:
        every = pl.concat([*kept, *waiting])
        return every.filter(pl.col(_HASH).rank("ordinal").over(by) <= pl.col(_QUOTA))

    for block in source.read(source.columns):
        waiting.append(marked(block))
        height += waiting[-1].height
        if height > most // 8:
            kept = [prune()]
            waiting, height = [], 0
            full = kept[0].group_by(by).agg(pl.len().alias("n"), pl.col(_HASH).max().alias(_CAP))
            bounds = bounds.drop(_CAP).join(full, on=by, how="left", nulls_equal=True).select(
                *by, _QUOTA, pl.when(pl.col("n") >= pl.col(_QUOTA)).then(_CAP).otherwise(pl.lit(_HIGHEST, pl.UInt64))
                .alias(_CAP),
            )  # fmt: skip
    return prune().sort(_HASH).select(source.columns)


def _quotas(sizes: npt.NDArray[np.integer], most: int) -> npt.NDArray[np.int64]:
    """Shares of `most` as the sizes are, at least one each."""
    quotas: npt.NDArray[np.int64] = np.maximum(1, np.floor(sizes / sizes.sum() * most)).astype(np.int64)
    return quotas


def _whole_groups(source: Blocks, plan: Plan, counted: _Counted, most: int) -> pl.DataFrame:
    ordered = counted.groups.sort(_HASH)
    fitting = int((ordered["len"].cum_sum() <= most).sum())
    if fitting < _FEWEST_GROUPS:
        raise InputError(
            f"memory_bytes holds {most:,} rows, {fitting} of the {ordered.height:,} groups of {plan.groups!r}: "
            "give more"
        )
    last = ordered[_HASH][fitting - 1]
    parts = []
    for block in source.read(source.columns):
        hashes = block[str(plan.groups)].hash(plan.seed)
        parts.append(block.with_columns(block.hash_rows(plan.seed).alias(_HASH)).filter(hashes <= last))
    return pl.concat(parts).sort(_HASH).drop(_HASH)
