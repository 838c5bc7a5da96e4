"""Evaluations and their page: complete, self-contained, safe, and shown by a browser."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from itertools import pairwise
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from sklearn import metrics as oracle

from eagleray.functions.evaluation.charts import Line, bar_chart, heat_map, histogram, line_chart
from eagleray.functions.evaluation.evaluation import Evaluation, Judged, judge
from eagleray.functions.evaluation.report import report
from eagleray.functions.evaluation.threshold import Capacity, Cost
from eagleray.runtime.errors import InputError, StorageError

from ...browser import chromium, seen

EVIL = "<script>alert('x')</script>"


def judged(rows: int = 3000, *, groups: str | None = "card") -> Judged:
    """Two weeks of rows whose margins are twice too sure."""
    rng = np.random.default_rng(3)
    odds = rng.normal(-2, 1.5, rows)
    table = pl.DataFrame(
        {
            "card": rng.integers(0, rows // 10, rows),
            "country": rng.choice(["DE", "FR", EVIL], rows),
            "amount": rng.gamma(2, 30, rows),
        }
    ).with_columns(at=pl.datetime(2026, 1, 1) + pl.duration(minutes=pl.int_range(pl.len()) * (20160 / rows)))
    labels = (rng.random(rows) < 1 / (1 + np.exp(-odds))).astype(np.float32)
    return Judged("classification", labels, 2 * odds, table, "test", "at", groups)


@pytest.fixture(scope="module")
def found() -> Evaluation:
    return judge(judged(), metric="average_precision", threshold=Capacity(20), segment_by=["country", "amount"], seed=1)


def test_measures_have_intervals_and_the_values_of_scikit_learn(found: Evaluation) -> None:
    rows = judged()
    p = 1 / (1 + np.exp(-rows.margins))
    assert found.metrics["average_precision"] == pytest.approx(oracle.average_precision_score(rows.labels, p))
    assert found.metrics["roc_auc"] == pytest.approx(oracle.roc_auc_score(rows.labels, p))
    assert set(found.estimates) == {
        "average_precision", "roc_auc", "log_loss", "brier", "precision_at_20", "card_precision_at_100",
    }  # fmt: skip
    for one in found.estimates.values():
        assert one.low < one.value < one.high
    # Calibrated scores keep the order and come true.
    assert oracle.average_precision_score(rows.labels, found.scores) == pytest.approx(
        found.metrics["average_precision"]
    )
    assert found.before is not None
    assert found.after is not None
    assert found.after.ece < 0.5 * found.before.ece
    assert found.metrics["brier"] == pytest.approx(found.after.brier)
    assert found.after.brier < found.before.brier


def test_the_threshold_fills_the_capacity_and_segments_add_up(found: Evaluation) -> None:
    assert found.threshold is not None
    assert 19 < found.threshold.per_period <= 20
    assert found.threshold.alerts == (found.scores >= found.threshold.value).sum()
    by_country = [one for one in found.segments if one.column == "country"]
    assert {one.value for one in by_country} == {"DE", "FR", EVIL}
    assert sum(one.rows for one in by_country) == 3000
    assert len([one for one in found.segments if one.column == "amount"]) == 4


def test_what_is_not_known_is_null_in_json() -> None:
    few = judge(judged(40, groups=None), metric="roc_auc", threshold=Cost(1, 5))
    told = json.loads(json.dumps(few.to_dict()))
    assert told["calibration"] is None
    assert told["rows"] == 40
    assert told["threshold"]["rule"] == {"false_positive": 1, "false_negative": 5}
    one = judge(Judged("classification", np.zeros(40), np.linspace(-1, 1, 40), pl.DataFrame()), metric="roc_auc")
    assert one.to_dict()["estimates"]["roc_auc"] == {"value": None, "low": None, "high": None}  # type: ignore[index]


def test_numbers_are_judged_by_their_errors() -> None:
    y, noise = np.random.default_rng(0).normal(10, 3, size=(2, 500))
    table = pl.DataFrame({"size": y})
    found = judge(Judged("regression", y, y + noise - 10, table), metric="rmse", segment_by=["size"])
    assert found.metrics["r2"] == pytest.approx(oracle.r2_score(y, y + noise - 10))
    assert set(found.estimates) == {"rmse", "mae", "r2"}
    page = report(found, title="sizes", about={}).html
    assert "Labels by prediction" in page
    assert "Calibration" not in page


def test_a_segment_that_is_no_column_names_the_nearest() -> None:
    with pytest.raises(InputError, match="no column 'land' to segment by"):
        judge(judged(), metric="roc_auc", segment_by=["land"])


def test_the_page_needs_nothing_else_and_nothing_breaks_out_of_it(found: Evaluation) -> None:
    page = report(found, title=f"Model {EVIL}", about={EVIL: EVIL}).html
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert not re.search(r"""(src|href)\s*=|url\(|@import|https?://(?!www\.w3\.org/2000/svg)""", page)
    pictures = re.findall(r"<svg.*?</svg>", page, re.DOTALL)
    assert len(pictures) == 4
    for picture in pictures:
        ET.fromstring(picture)
    for title in ("ROC", "Precision and recall", "Calibration", "Scores", "Threshold", "Segments"):
        assert f">{title}<" in page


def test_a_notebook_shows_the_page_in_a_frame_of_its_own(found: Evaluation, tmp_path: Path) -> None:
    made = report(found, title="m", about={})
    assert made._repr_html_().startswith('<iframe srcdoc="&lt;!doctype html')
    assert made.save(tmp_path / "r.html").read_text() == made.html
    with pytest.raises(StorageError, match=r"cannot write .*choose another place"):
        made.save(tmp_path / "no" / "r.html")


@pytest.mark.skipif(chromium() is None, reason="no Chromium here")
def test_a_browser_lays_the_page_out(found: Evaluation, tmp_path: Path) -> None:
    """What the browser made of the page is read back: all plots with a size, nothing loaded, no script of its own."""
    page = seen(report(found, title="Model fraud", about={"learner": "xgboost"}).html, tmp_path)
    assert page.headings == ["Measures", "Plots", "Calibration", "Threshold", "Segments", "Model"]
    assert len(page.pictures) == 4
    assert all(one.width > 300 and one.height > 150 and one.marks > 5 for one in page.pictures)
    assert page.loaded == page.console == []
    assert page.scripts == 0
    assert page.width <= 1200


def test_charts_of_nothing_and_of_one_point_are_drawn() -> None:
    empty: list[float] = []
    for picture in (
        line_chart([Line("none", empty, empty)], x="x", y="y"),
        line_chart([Line("one", [1.0], [float("inf")])], x="x", y="y", y_span=(0, 1)),
        histogram([("none", empty), ("same", [2.0, 2.0])], x="x"),
        bar_chart([], []),
        bar_chart(["zero"], [0.0]),
        heat_map(["a", EVIL], np.array([[1.0, np.nan], [np.nan, -1.0]])),
    ):
        ET.fromstring(picture)


def test_long_names_are_told_apart_and_large_counts_are_read() -> None:
    names = [f"transactions__amount_sum_{days}d" for days in range(3)]
    picture = bar_chart(names, [1234567.0, 12.0, 0.5])
    assert all(f">{name}<" in picture for name in names)
    assert [">1,234,567<" in picture, ">12<" in picture, ">0.5<" in picture] == [True] * 3
    assert f">{'x' * 44}…<" in bar_chart(["x" * 200], [1.0])


def test_points_alone_are_not_joined() -> None:
    points = line_chart([Line("p", [0.0, 1.0], [0.0, 1.0], marked=True, joined=False)], x="x", y="y")
    assert (points.count("<circle"), points.count("<polyline")) == (2, 0)


def test_a_long_line_is_thinned_and_keeps_its_ends_and_corners() -> None:
    x = np.linspace(0, 1, 50_000)
    picture = line_chart([Line("step", x, (x > 0.5).astype(float))], x="x", y="y", x_span=(0, 1), y_span=(0, 1))
    points = re.search(r'polyline points="([^"]+)"', picture)
    assert points is not None
    drawn = [tuple(map(float, one.split(","))) for one in points[1].split()]
    assert 100 < len(drawn) <= 302
    assert drawn[0] == (52.0, 210.0)
    assert drawn[-1] == (346.0, 12.0)
    assert sum(a[1] != b[1] for a, b in pairwise(drawn)) == 1
