"""What a frame is like, as a noun: a table, plain values, a page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import orjson
import polars as pl

from ....functions.evaluation.charts import bar_chart, heat_map, histogram, line_chart
from ....functions.evaluation.report import Report, note, number, page, plots, section, table
from .columns import Distribution, Relation, lines_of

_MOST_PLOTS = 40


@dataclass(frozen=True, slots=True)
class Correlations:
    """Pearson's r of each pair of the numeric `columns`, rows that lack either left out; NaN where one never varies."""

    columns: tuple[str, ...]
    values: tuple[tuple[float, ...], ...]

    def pairs(self) -> Iterator[tuple[str, str, float]]:
        """Each pair once, the strongest first."""
        found = [
            (a, b, self.values[i][j])
            for i, a in enumerate(self.columns)
            for j, b in enumerate(self.columns[:i])
            if self.values[i][j] == self.values[i][j]
        ]
        return iter(sorted(found, key=lambda pair: -abs(pair[2])))


@dataclass(frozen=True, slots=True)
class Description:
    """A frame described. `table` has a row a column, `missing` the rows by how many of their values are null.

    `distributions` are histograms of numbers and counts of the most frequent values; `relations` the mean label in each
    part of a column, where there is a label. A notebook shows plots.
    """

    rows: int
    label: str | None
    table: pl.DataFrame
    correlations: Correlations
    distributions: Mapping[str, Distribution] = field(repr=False)
    relations: Mapping[str, Relation] = field(repr=False)
    missing: Mapping[int, int] = field(repr=False)

    def to_dict(self) -> dict[str, object]:
        """Plain values, for JSON; NaN is None."""
        told = {
            "rows": self.rows,
            "label": self.label,
            "columns": self.table.to_dicts(),
            "correlations": {"columns": self.correlations.columns, "values": self.correlations.values},
            "distributions": {name: {"edges": one.edges, "values": one.values, "counts": one.counts}
                              for name, one in self.distributions.items()},
            "relations": {name: {"parts": one.parts, "rows": one.rows, "mean_label": one.mean_label}
                          for name, one in self.relations.items()},
            "missing": {str(nulls): rows for nulls, rows in self.missing.items()},
        }  # fmt: skip
        plain: dict[str, object] = orjson.loads(orjson.dumps(told))
        return plain

    def report(self) -> Report:
        """All of it as one HTML page with plots; `.save(path)` writes it."""
        lead = f"{self.rows:,} rows, {self.table.height} columns"
        parts = [note(text) for text in self._warnings()]
        parts.append(section("Columns", _columns(self.table)))
        if self.relations:
            parts.append(section(f"Relation to {self.label}", self._relation_plots()))
        parts.append(section("Distributions", self._distribution_plots()))
        if len(self.correlations.columns) > 1:
            values = np.array(self.correlations.values, dtype=np.float64)
            parts.append(section("Correlations", heat_map(self.correlations.columns, values)))
        if set(self.missing) - {0}:
            parts.append(section("Rows by missing values", bar_chart(
                [f"{nulls} missing" for nulls in self.missing], [float(rows) for rows in self.missing.values()]
            )))  # fmt: skip
        return page("Data", lead + (f", label {self.label}" if self.label else ""), parts)

    def save(self, path: str | Path) -> Path:
        """Writes the page as a file; raises `StorageError`."""
        return self.report().save(path)

    def _repr_html_(self) -> str:
        return self.report()._repr_html_()

    def __repr__(self) -> str:
        return f"{self.rows:,} rows\n{self.table!r}"

    def _warnings(self) -> Iterator[str]:
        for row in self.table.iter_rows(named=True):
            name = row["column"]
            if self.rows and row["nulls"] == self.rows:
                yield f"{name!r} holds nothing but nulls."
            elif self.rows > 1 and row["distinct"] == 1:
                yield f"{name!r} has one value in all rows."
            elif (row.get("relation") or 0) > 0.999 and (row["mean"] is not None or 2 * row["distinct"] < self.rows):
                yield f"{name!r} tells {self.label!r} nearly alone: is it known before the label is?"
        for a, b, r in self.correlations.pairs():
            if abs(r) <= 0.999:
                break
            yield f"{a!r} and {b!r} say the same (r = {r:.4f})."

    def _relation_plots(self) -> str:
        strongest = self.table.filter(pl.col("relation").is_not_null()).sort("relation", descending=True)
        names = strongest["column"].to_list()
        drawn = {"Strength (0 to 1)": bar_chart(names[:20], strongest["relation"].to_list()[:20])}
        shown = [name for name in names if any(self.relations[name].rows)]  # what has no value has no picture
        for name in shown[:_MOST_PLOTS]:
            one = self.relations[name]
            if one.middles:
                drawn[name] = line_chart(lines_of(one), x=name, y=f"mean {self.label}")
            else:
                drawn[name] = bar_chart(one.parts, one.mean_label)
        return plots(drawn)

    def _distribution_plots(self) -> str:
        drawn = {}
        shown = {name: one for name, one in self.distributions.items() if any(one.counts)}
        for name, one in list(shown.items())[:_MOST_PLOTS]:
            if one.edges:
                middles = (np.array(one.edges[1:]) + np.array(one.edges[:-1])) / 2
                drawn[name] = histogram(
                    [(name, np.repeat(middles, _to_thousand(one.counts)))],
                    x=name, bins=len(one.counts), span=(one.edges[0], one.edges[-1]),
                )  # fmt: skip
            else:
                drawn[name] = bar_chart(one.values, [float(count) for count in one.counts])
        left = len(shown) - len(drawn)
        return plots(drawn) + (f"<p class='lead'>{left} more columns are in to_dict().</p>" if left > 0 else "")


def _to_thousand(counts: tuple[int, ...]) -> list[int]:
    """Counts scaled to some ten thousand in all: enough for a picture."""
    scale = min(1.0, 10_000 / max(1, sum(counts)))
    return [round(count * scale) for count in counts]


def _columns(found: pl.DataFrame) -> str:
    whole = {"count", "nulls", "distinct"}
    rows = [
        [str(value).partition("(time_unit")[0] if name in ("column", "dtype") else f"{value:,}" if name in whole else
         number(float("nan") if value is None else float(value)) for name, value in row.items()]
        for row in found.iter_rows(named=True)
    ]  # fmt: skip
    return table(found.columns, rows)
