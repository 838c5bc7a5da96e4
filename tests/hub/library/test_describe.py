"""describe, against numpy on random columns."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from eagleray import hub
from eagleray.runtime.errors import FeatureNotFound, InputError
from eagleray.runtime.settings import Settings

from ...browser import chromium, seen

describe = hub.load("hub://describe")


def frame() -> pl.DataFrame:
    random = np.random.default_rng(7)
    amount = random.gamma(2.0, 30.0, 1000)
    fraud = (amount + random.normal(0, 40, 1000) > 120).astype(int)
    place = np.where(fraud, random.choice(["a", "b"], 1000), random.choice(["b", "c", "d"], 1000))
    columns = {"amount": amount, "count": random.integers(0, 9, 1000), "place": place, "fraud": fraud}
    table = pl.DataFrame(columns).with_columns(night=pl.col("count") > 6)
    holes = pl.when(pl.int_range(pl.len()) % 10 == 0).then(None).otherwise(pl.col("amount")).alias("holes")
    return table.with_columns(holes, nan=pl.when(pl.col("count") == 0).then(float("nan")).otherwise(1.5))


def rows(found: Any) -> dict[str, dict[str, Any]]:
    return {str(row["column"]): row for row in found.table.iter_rows(named=True)}


@pytest.mark.parametrize("name", ["amount", "count", "holes"])
def test_numbers_match_numpy(name: str) -> None:
    table = frame()
    values = table.get_column(name).drop_nulls().to_numpy().astype(float)
    found = rows(describe(table))[name]
    oracle = [values.mean(), values.std(ddof=1), values.min(), *np.quantile(values, [0.25, 0.5, 0.75]), values.max()]
    stats = ["mean", "std", "min", "p25", "p50", "p75", "max"]
    np.testing.assert_allclose([found[stat] for stat in stats], oracle)
    assert (found["count"], found["nulls"]) == (len(values), 1000 - len(values))
    assert found["distinct"] == len(set(values))


def test_other_types() -> None:
    table = frame().with_columns(ts=pl.lit(datetime(2024, 1, 1)), none=None)  # noqa: DTZ001 - any time will do
    found = rows(describe(table))
    assert (found["place"]["distinct"], found["place"]["mean"], found["place"]["dtype"]) == (4, None, "String")
    assert found["night"]["mean"] == pytest.approx(table.get_column("night").mean())
    assert (found["nan"]["nulls"], found["nan"]["max"]) == ((table.get_column("count") == 0).sum(), 1.5)
    assert (found["none"]["count"], found["none"]["distinct"], found["ts"]["distinct"]) == (0, 0, 1)
    assert found["nan"].keys() == {"column", "dtype", "count", "nulls", "distinct", "mean", "std", "min", "p25",
                                   "p50", "p75", "max"}  # fmt: skip


def test_columns_of_any_type_are_described() -> None:
    table = pl.DataFrame({"y": [0, 1], "gap": [timedelta(1), None], "many": [[1], [2]], "raw": [b"a", b"b"]})
    found = describe(table, label="y")
    assert found.distributions["gap"].values == ("1 day, 0:00:00",)
    assert found.relations["many"].parts == ("[1]", "[2]")
    assert "raw" in found.report().html


def test_relation_to_a_label() -> None:
    table = frame()
    found = rows(describe(table, label="fraud"))
    expected = abs(np.corrcoef(table.get_column("amount"), table.get_column("fraud"))[0, 1])
    assert found["amount"]["relation"] == pytest.approx(expected)
    y = table.get_column("fraud").to_numpy()
    place = table.get_column("place").to_numpy()
    between = sum(y[place == one].size * (y[place == one].mean() - y.mean()) ** 2 for one in set(place))
    assert found["place"]["relation"] == pytest.approx((between / ((y - y.mean()) ** 2).sum()) ** 0.5)
    assert found["fraud"]["relation"] is None
    words = table.with_columns(fraud=pl.when(pl.col("fraud") == 1).then(pl.lit("yes")).otherwise(pl.lit("no")))
    assert rows(describe(words, label="fraud"))["amount"]["relation"] == pytest.approx(expected)
    constant = table.with_columns(fraud=0)
    assert rows(describe(constant, label="fraud"))["place"]["relation"] == 0


def test_distributions_hold_every_known_value() -> None:
    table = frame()
    found = describe(table).distributions
    counts, edges = np.histogram(table["amount"], 30)
    assert found["amount"].counts == tuple(counts)
    assert found["amount"].edges == pytest.approx(edges)
    assert sum(found["holes"].counts) == 900
    assert found["count"].values == tuple("012345678")
    assert dict(zip(found["place"].values, found["place"].counts, strict=True)) == {
        one: (table["place"] == one).sum() for one in "abcd"
    }
    many = describe({"x": [f"v{i % 40}" for i in range(800)]}).distributions["x"]
    assert (many.values[-1], many.counts[-1], sum(many.counts)) == ("other", 600, 800)


def test_correlations_leave_out_rows_that_lack_either() -> None:
    table = frame()
    found = describe(table).correlations
    both = table.drop_nulls("holes")
    i, j = found.columns.index("holes"), found.columns.index("fraud")
    assert found.values[i][j] == pytest.approx(np.corrcoef(both["holes"], both["fraud"])[0, 1])
    a, b, r = next(found.pairs())
    assert ({a, b}, r) == ({"amount", "holes"}, pytest.approx(1.0))


def test_each_part_of_a_column_tells_its_mean_label() -> None:
    table = frame()
    found = describe(table, label="fraud").relations
    assert sum(found["amount"].rows) == 1000
    assert found["amount"].mean_label[-1] > 0.6 > 0.2 > found["amount"].mean_label[0]
    place = dict(zip(found["place"].parts, found["place"].mean_label, strict=True))
    assert place["a"] == 1.0
    assert place["b"] == pytest.approx(table.filter(pl.col("place") == "b")["fraud"].mean())
    assert "fraud" not in found


def test_moments_are_shown_by_periods_and_are_no_keys() -> None:
    at = pl.datetime_range(pl.datetime(2026, 1, 1), pl.datetime(2026, 4, 30), "1h", eager=True)
    late = pl.Series((at.dt.month() == 4).cast(pl.Int64))
    found = describe(pl.DataFrame({"at": at, "day": at.dt.date(), "y": late}), label="y")
    for name in ("at", "day"):
        one = found.distributions[name]
        assert (len(one.counts), sum(one.counts), one.values[0]) == (12, len(at), "2026-01-01")
        assert max(one.counts) - min(one.counts) <= 24
        assert found.relations[name].mean_label[0] == 0
        assert found.relations[name].mean_label[-1] == 1
        expected = abs(np.corrcoef(at.dt.epoch("us").to_numpy(), late.to_numpy())[0, 1])
        assert rows(found)[name]["relation"] == pytest.approx(expected, abs=0.01)
    assert "nearly alone" not in found.report().html
    keys = pl.DataFrame({"key": [f"k{i}" for i in range(100)], "y": [i % 2 for i in range(100)]})
    assert "nearly alone" not in describe(keys, label="y").report().html


def test_whole_numbers_of_a_short_reach_have_a_bar_each() -> None:
    found = describe({"hour": [i % 24 for i in range(2400)]}).distributions["hour"]
    assert found.counts == (100,) * 24
    assert (found.edges[0], found.edges[-1]) == (-0.5, 23.5)


def test_rows_are_counted_by_what_they_lack() -> None:
    table = frame()
    lacks = table["holes"].is_null().cast(pl.Int8) + (table["count"] == 0).cast(pl.Int8)
    assert describe(table).missing == {n: (lacks == n).sum() for n in range(3)}


def test_plain_values_and_a_page(tmp_path: Path) -> None:
    found = describe(frame().with_columns(none=None, twin=pl.col("amount") * 2), label="fraud")
    told = found.to_dict()
    assert told["rows"] == 1000
    assert len(told["columns"]) == 9
    assert len(told["distributions"]["amount"]["counts"]) == 30
    page = found.save(tmp_path / "data.html").read_text()
    assert "&#x27;none&#x27; holds nothing but nulls." in page
    assert "&#x27;twin&#x27; and &#x27;amount&#x27; say the same" in page
    assert not re.search(r"<script|src=|https?://(?!www.w3.org/2000/svg)", page)
    assert page.count("<svg") == 1 + 7 + 8 + 1 + 1  # strengths, relations, distributions, correlations, missing
    assert found._repr_html_().startswith("<iframe")
    assert repr(found).startswith("1,000 rows")


@pytest.mark.skipif(chromium() is None, reason="no Chromium here")
def test_a_browser_shows_all_of_it_and_loads_nothing(tmp_path: Path) -> None:
    evil = "<script>console.error('ran')</script>"
    table = frame().with_columns(none=None, twin=pl.col("amount") * 2, **{evil: pl.col("place")})
    page = seen(describe(table, label="fraud").report().html, tmp_path)
    assert page.headings == ["Columns", "Relation to fraud", "Distributions", "Correlations", "Rows by missing values"]
    assert len(page.pictures) == 1 + 8 + 9 + 1 + 1  # strengths, relations, distributions, correlations, missing
    for one in page.pictures:
        assert one.width > 150
        assert one.height > 20
        assert 0 <= one.left < one.left + one.width <= 1200
        assert one.marks > 0
    assert page.loaded == []
    assert page.console == []
    assert page.scripts == 0


@pytest.mark.skipif(chromium() is None, reason="no Chromium here")
@pytest.mark.timeout(90)
def test_the_page_of_a_wide_frame_stays_small(tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(size=(2000, 200))
    table = pl.DataFrame(values, schema=[f"feature_{place}" for place in range(200)])
    html = describe(table.with_columns(y=pl.col("feature_0") > 0), label="y").report().html
    assert len(html) < 500_000
    assert "161 more columns are in to_dict()." in html
    page = seen(html, tmp_path)
    assert len(page.pictures) == 1 + 40 + 40 + 1
    assert page.loaded == page.console == []


@pytest.mark.timeout(90)
def test_the_page_of_a_million_rows_is_no_larger_than_that_of_a_thousand() -> None:
    rng = np.random.default_rng(0)
    numbers = {f"x{place}": rng.normal(size=1_000_000) for place in range(4)}
    long = pl.DataFrame({**numbers, "key": rng.integers(0, 50_000, 1_000_000), "y": rng.random(1_000_000) < 0.1})
    long = long.with_columns(pl.col("key").cast(pl.String))
    sizes = [len(describe(table, label="y").report().html) for table in (long.head(1000), long)]
    assert sizes[1] < 1.2 * sizes[0]


def test_bad_input() -> None:
    with pytest.raises(FeatureNotFound, match="did you mean 'fraud'"):
        describe(frame(), label="fruad")
    with pytest.raises(InputError, match="4 distinct values"):
        describe(frame(), label="place")
    with pytest.raises(InputError, match="takes a frame, not a object"):
        describe(object())
    with pytest.raises(InputError, match="column 'x' holds Python objects"):
        describe(pl.DataFrame({"x": pl.Series([object()], dtype=pl.Object)}))
    with pytest.raises(InputError, match="no columns"):
        describe(pl.DataFrame())


def test_empty_and_foreign_frames() -> None:
    assert rows(describe(frame().clear(), label="fraud"))["amount"]["count"] == 0
    assert rows(describe(frame().to_arrow()))["amount"]["count"] == 1000
    assert rows(describe(frame().lazy()))["count"]["count"] == 1000
    assert describe({"x": [1, 2]}).table.get_column("mean").to_list() == [1.5]


def test_on_ray(ray_cluster: Settings) -> None:
    (found,) = describe.map([frame()])
    assert found.to_dict() == describe(frame()).to_dict()
