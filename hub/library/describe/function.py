"""A frame's columns in numbers."""

from __future__ import annotations

from typing import Any

import polars as pl

from ....functions.function import function
from ....runtime.errors import FeatureNotFound, InputError, did_you_mean

_QUANTILES = {"p25": 0.25, "p50": 0.5, "p75": 0.75}


@function
def describe(frame: Any, *, label: str | None = None) -> pl.DataFrame:
    """One row per column: column, dtype, count, nulls, distinct, mean, std, min, p25, p50, p75, max, relation.

    `frame` is a Polars frame or what Polars reads (Arrow, pandas, a dict of columns). NaN counts as null; numbers
    describe numeric and true/false columns (true is 1), other columns have nulls there. With `label`, `relation`
    (0-1) says how much of the label a column alone explains: |Pearson's r| for numbers, else the correlation
    ratio (Fisher 1925), which a column with many distinct values overstates. Raises `InputError` and `FeatureNotFound`.
    """
    table = _table(frame)
    target = None if label is None else _target(table, label)
    numeric = [name for name, dtype in table.schema.items() if dtype.is_numeric() or dtype == pl.Boolean]
    numbers = table.select(pl.col(numeric).cast(pl.Float64)).with_columns(pl.all().fill_nan(None))
    clean = table.with_columns(numbers.get_column(name).alias(name) for name in numeric)
    facts = {
        "count": clean.select(pl.all().count()),
        "nulls": clean.select(pl.all().null_count()),
        "distinct": clean.select(pl.all().drop_nulls().n_unique()),
        "mean": numbers.select(pl.all().mean()),
        "std": numbers.select(pl.all().std()),
        "min": numbers.select(pl.all().min()),
        **{name: numbers.select(pl.all().quantile(share, "linear")) for name, share in _QUANTILES.items()},
        "max": numbers.select(pl.all().max()),
    }
    if target is not None:
        facts["relation"] = _relations(clean, target, set(numeric), str(label))
    whole = {"count", "nulls", "distinct"}
    rows = {name: [found[column].item() if column in found.columns else None for column in table.columns]
            for name, found in facts.items()}  # fmt: skip
    return pl.DataFrame(
        {"column": table.columns, "dtype": [str(dtype) for dtype in table.dtypes], **rows},
        schema_overrides={name: pl.Int64 if name in whole else pl.Float64 for name in facts},
    )


def _table(frame: Any) -> pl.DataFrame:
    if isinstance(frame, pl.DataFrame):
        table = frame
    else:
        try:
            table = frame.collect() if isinstance(frame, pl.LazyFrame) else pl.DataFrame(frame)
        except (TypeError, ValueError, pl.exceptions.PolarsError) as error:
            reason = str(error).splitlines()[0]
            raise InputError(f"describe takes a frame, not a {type(frame).__name__}: {reason}") from None
    if not table.width:
        raise InputError("the frame has no columns: hand in at least one")
    return table


def _target(table: pl.DataFrame, label: str) -> pl.Series:
    """The label as numbers; two values of any type become 0 and 1."""
    if label not in table.columns:
        raise FeatureNotFound(f"no column {label!r} for the label{did_you_mean(label, table.columns)}")
    column = table.get_column(label)
    if column.dtype.is_numeric() or column.dtype == pl.Boolean:
        return column.cast(pl.Float64).fill_nan(None)
    values = column.drop_nulls().unique().sort()
    if len(values) != 2:
        raise InputError(f"the label {label!r} has {len(values)} distinct values: give numbers, or one with two values")
    return column.to_frame().select((pl.col(label) == values[1]).cast(pl.Float64)).to_series()


def _relations(clean: pl.DataFrame, target: pl.Series, numeric: set[str], label: str) -> pl.DataFrame:
    """One row: each column's relation to the label, 0 where one of the two never varies."""
    y = pl.lit(target)
    found = {}
    for name in clean.columns:
        if name == label:
            continue
        column = pl.col(name)
        both = column.is_not_null() & y.is_not_null()
        if name in numeric:
            found[name] = clean.select(pl.corr(column.filter(both), y.filter(both)).abs()).item()
            continue
        groups = (
            clean.lazy()
            .select(column.alias("group"), y.alias("y"))
            .filter(pl.col("group").is_not_null() & pl.col("y").is_not_null())
            .with_columns(pl.col("y").mean().over("group").alias("mean"))
        )
        spread = groups.select(
            pl.col("mean").var(ddof=0).alias("between"), pl.col("y").var(ddof=0).alias("all")
        ).collect()
        between, total = spread.row(0)
        found[name] = (between / total) ** 0.5 if total else 0.0
    fixed = {name: 0.0 if value is None or value != value else min(value, 1.0) for name, value in found.items()}
    return pl.DataFrame({name: [value] for name, value in fixed.items()})
