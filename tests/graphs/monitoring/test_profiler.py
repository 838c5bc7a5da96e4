"""The profiler in process: batches in, comparisons and labelled decisions out, also after a restart."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from eagleray.featurestore.quality.exact_profile import ExactProfile
from eagleray.featurestore.quality.profile import Span
from eagleray.graphs.monitoring.profiler import Profiler, Question
from eagleray.graphs.monitoring.tap import TapBatch
from eagleray.runtime.errors import DefinitionError

MINUTE_US = 60_000_000


class Clock:
    """Seconds that stand still until they are set."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def profiler(folder: Path, clock: Clock | None = None) -> Profiler:
    return Profiler(
        folder,
        window_us=MINUTE_US,
        new=ExactProfile,
        load=ExactProfile.from_bytes,
        clock_s=clock or Clock(),
    )


def batch(start: int, n: int, *, dropped: int = 0) -> TapBatch:
    """n requests, one a second, of which the 10th fraction scores high."""
    at = np.arange(start, start + n)
    rows = np.column_stack([at % 7, at % 3]).astype(float)
    ids = [f"t{i}" for i in at]
    return TapBatch(("week", "third"), ids, rows, (at % 10 == 0) * 0.9, at * 1_000_000, dropped)


def reference() -> bytes:
    at = np.arange(4_000, dtype=np.float64)
    made = ExactProfile()
    made.update({"week": at % 7, "third": at % 3 * 2.0, "absent": at})
    return made.to_bytes()


def test_traffic_is_compared_with_the_reference(tmp_path: Path) -> None:
    made = profiler(tmp_path)
    assert made.compare(reference(), Question(10**15)).rows == 0
    made.receive(batch(0, 600))
    made.receive(batch(600, 600, dropped=3))
    found = made.compare(reference(), Question(10**15, min_rows=200))
    assert found.span == Span(16 * MINUTE_US, 20 * MINUTE_US)
    assert found.rows == 240
    assert found.unmatched == ("absent",)
    week, third = found.distances
    assert (week.feature, third.feature) == ("week", "third")
    assert week.ks < 0.05
    assert third.ks > 0.3
    chosen = made.compare(reference(), Question(10 * MINUTE_US, since_us=0))
    assert (chosen.span, chosen.rows) == (Span(0, 10 * MINUTE_US), 600)
    state = made.state()
    assert (state.received, state.dropped, state.decisions, state.trouble) == (1_200, 3, 1_200, "")


def test_scores_are_profiled_too(tmp_path: Path) -> None:
    made = profiler(tmp_path)
    made.receive(batch(0, 60))
    (content,) = made.profiles(0, 10**15)
    assert ExactProfile.from_bytes(content).summary("prediction").maximum == 0.9
    with_scores = ExactProfile()
    with_scores.update({"prediction": np.zeros(100)})
    assert made.compare(with_scores.to_bytes(), Question(10**15)).distances[0].feature == "prediction"


def test_labels_give_what_was_served(tmp_path: Path) -> None:
    made = profiler(tmp_path)
    made.label(["t0", "t10"], [1, 1])
    made.receive(batch(0, 100))
    made.label(["t1"], [0])
    found = made.labelled()
    assert (found.decisions, found.labels.sum(), found.labels.size) == (100, 2, 3)
    assert made.labelled(5_000_000, None).labels.size == 1
    assert made.decisions(["t10"]).row(0, named=True)["label"] == 1.0


def test_a_restart_finds_what_was_saved(tmp_path: Path) -> None:
    clock = Clock()
    first = profiler(tmp_path, clock)
    first.receive(batch(0, 60))
    clock.now_s = 6.0
    first.receive(batch(60, 60))  # some seconds later: both are saved with it
    first.label(["t0"], [1])
    second = profiler(tmp_path)
    assert second.compare(reference(), Question(10**15)).rows == 120
    assert second.labelled().labels.tolist() == [1.0]
    second.receive(batch(30, 30))
    assert second.compare(reference(), Question(MINUTE_US, since_us=0)).rows == 90


def test_a_refusing_disk_stops_nothing_and_is_told(tmp_path: Path) -> None:
    (tmp_path / "profiles").write_text("in the way")
    (tmp_path / "decisions").write_text("in the way")
    made = profiler(tmp_path)
    made.receive(batch(0, 300))
    assert made.compare(reference(), Question(10**15)).rows >= 200
    assert made.labelled().decisions == 300
    state = made.state()
    assert "the profiler cannot write" in state.trouble
    assert state.trouble.endswith("free disk space")


def test_a_question_looks_forward() -> None:
    with pytest.raises(DefinitionError, match="swap them"):
        Question(5, since_us=5)
