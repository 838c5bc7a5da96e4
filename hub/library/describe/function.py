"""A frame's columns in numbers."""

from __future__ import annotations

from typing import Any

import polars as pl

from ....functions.function import function
from ....runtime.errors import FeatureNotFound, InputError, did_you_mean
from .columns import distribution, is_moment, relation
from .description import Correlations, Description

_MOST_CORRELATED = 20
_QUANTILES = {"p25": 0.25, "p50": 0.5, "p75": 0.75}


@function
def describe(frame: Any, *, label: str | None = None) -> Description:
    """Distributions, missing values, correlations and, with a label, each column's relation to it; plots in a notebook.

    `.table` has a row per column: column, dtype, count, nulls, distinct, mean, std, min, p25, p50, p75, max, relation.
    `frame` is a Polars frame or what Polars reads (Arrow, pandas, a dict of columns). NaN counts as null; numbers
    describe numeric and true/false columns (true is 1), other columns have nulls there. With `label`, `relation`
    (0-1) says how much of the label a column alone explains: |Pearson's r| for numbers and times, else the correlation
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
    told = {name: found.row(0, named=True) if found.width else {} for name, found in facts.items()}
    rows = {name: [found.get(column) for column in table.columns] for name, found in told.items()}
    described = pl.DataFrame(
        {"column": table.columns, "dtype": [str(dtype) for dtype in table.dtypes], **rows},
        schema_overrides={name: pl.Int64 if name in whole else pl.Float64 for name in facts},
    )
    known = table.with_columns(pl.selectors.float().fill_nan(None))
    related = {}
    if target is not None:
        others = [name for name in clean.columns if name != label]
        related = {name: relation(known[name], target) for name in others}
    return Description(
        rows=table.height,
        label=label,
        table=described,
        correlations=_correlations(numbers, described, label),
        distributions={name: distribution(known[name]) for name in known.columns},
        relations=related,
        missing=_missing(clean),
    )


def _correlations(numbers: pl.DataFrame, described: pl.DataFrame, label: str | None) -> Correlations:
    """Of at most so many columns: the label, then those most related to it, or else the first ones that vary."""
    names = [name for name in numbers.columns if name != label]
    if "relation" in described.columns:
        strength = dict(zip(described["column"], described["relation"], strict=True))
        names.sort(key=lambda name: -(strength[name] or 0.0))
    names = [*([label] if label in numbers.columns else []), *names][:_MOST_CORRELATED]
    pairs = [(a, b) for i, a in enumerate(names) for b in names[:i]]
    found = numbers.select(pl.corr(a, b).alias(str(place)) for place, (a, b) in enumerate(pairs))
    values = [[1.0 if a == b else float("nan") for b in names] for a in names]
    for place, (a, b) in enumerate(pairs):
        r = found[str(place)].item() if numbers.height else None
        i, j = names.index(a), names.index(b)
        values[i][j] = values[j][i] = float("nan") if r is None else float(r)
    return Correlations(tuple(str(name) for name in names), tuple(map(tuple, values)))


def _missing(clean: pl.DataFrame) -> dict[int, int]:
    """Rows by how many of their values are null."""
    each = clean.select(pl.sum_horizontal(pl.all().is_null().cast(pl.UInt32)).alias("nulls"))
    return dict(each["nulls"].value_counts().sort("nulls").iter_rows())


def _table(frame: Any) -> pl.DataFrame:
    if isinstance(frame, pl.DataFrame):
        table = frame
    else:
        try:
            table = frame.collect() if isinstance(frame, pl.LazyFrame) else pl.DataFrame(frame)
        except (TypeError, ValueError, pl.exceptions.PolarsError) as error:
            reason = str(error).splitlines()[0]
            raise InputError(f"describe takes a frame, not a {type(frame).__name__}: {reason}") from None
    if objects := [name for name, dtype in table.schema.items() if dtype == pl.Object]:
        raise InputError(f"column {objects[0]!r} holds Python objects: turn them into numbers, texts or times")
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
    others = {name: dtype for name, dtype in clean.schema.items() if name != label}
    straight = []  # asked of all columns at once: there may be thousands
    for name, dtype in others.items():
        column = pl.col(name)
        both = column.is_not_null() & y.is_not_null()
        if is_moment(dtype):
            column = column.cast(pl.Datetime("us")).cast(pl.Int64).cast(pl.Float64)
        if name in numeric or is_moment(dtype):
            straight.append(pl.corr(column.filter(both), y.filter(both)).abs().alias(name))
    found = clean.select(straight).row(0, named=True) if straight else {}
    found |= {name: _ratio(clean[name], target) for name in others if name not in found}
    fixed = {name: 0.0 if value is None or value != value else min(value, 1.0) for name, value in found.items()}
    return pl.DataFrame({name: [fixed[name]] for name in others})


def _ratio(column: pl.Series, target: pl.Series) -> float:
    """The correlation ratio of a column of codes with numbers."""
    groups = (
        pl.LazyFrame({"group": column, "y": target})
        .drop_nulls()
        .with_columns(pl.col("y").mean().over("group").alias("mean"))
    )
    spread = groups.select(pl.col("mean").var(ddof=0).alias("between"), pl.col("y").var(ddof=0).alias("all")).collect()
    between, total = spread.row(0)
    return float((between / total) ** 0.5) if total else 0.0
