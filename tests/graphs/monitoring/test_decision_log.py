"""The decision log: bounded, joined with labels in any order, found again after a restart."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from eagleray.graphs.monitoring.decision_log import DecisionLog
from eagleray.graphs.monitoring.tap import TapBatch
from eagleray.runtime.errors import InputError


def batch(numbers: range, *, names: tuple[str, ...] = ("a", "b")) -> TapBatch:
    n = np.array(numbers, float)
    rows = np.column_stack([n + i for i in range(len(names))])
    return TapBatch(names, [str(i) for i in numbers], rows, n / 100, np.array(numbers, np.int64))


def test_labels_meet_decisions_in_any_order(tmp_path: Path) -> None:
    log = DecisionLog(tmp_path)
    log.label(["3", "999"], [1, 0])
    log.append(batch(range(10)))
    log.label(["4", "3"], [0, 0])  # the later label of 3 counts
    found = log.labelled()
    assert found.decisions == 10
    assert sorted(zip(found.scores, found.labels, strict=True)) == [(0.03, 0.0), (0.04, 0.0)]
    assert log.labelled(since_us=4).labels.size == 1
    assert log.labelled(until_us=3).labels.size == 0
    assert log.labelled(since_us=3, until_us=4).decisions == 1


def test_decisions_are_found_with_their_rows(tmp_path: Path) -> None:
    log = DecisionLog(tmp_path)
    log.append(batch(range(5)))
    log.append(batch(range(5, 8), names=("a", "score")))
    log.label(["6"], [1])
    found = log.find(["1", "6", "unknown"])
    assert found.to_dicts() == [
        {
            "request_id": "1",
            "ts_us": 1,
            "score": 0.01,
            "feature.a": 1.0,
            "feature.b": 2.0,
            "feature.score": None,
            "label": None,
        },
        {
            "request_id": "6",
            "ts_us": 6,
            "score": 0.06,
            "feature.a": 6.0,
            "feature.b": None,
            "feature.score": 7.0,
            "label": 1.0,
        },
    ]
    assert log.find([]).is_empty()


def test_it_is_bounded(tmp_path: Path) -> None:
    log = DecisionLog(tmp_path, capacity=20)
    for start in range(0, 100, 5):
        log.append(batch(range(start, start + 5)))
        log.label([str(i) for i in range(start, start + 5)], [0] * 5)
    assert len(log) == 20
    assert log.labelled().decisions == 20
    assert log.find(["10"]).is_empty()
    assert len(log.find(["99"])) == 1
    log.append(batch(range(1_000)))  # a batch stays whole, and there is always one
    assert len(log) == 1_000


def test_a_restart_finds_everything(tmp_path: Path) -> None:
    first = DecisionLog(tmp_path)
    first.append(batch(range(5)))
    first.append(batch(range(5, 7), names=("z",)))
    first.append(batch(range(0)))
    first.label(["1", "2"], [1, 0])
    second = DecisionLog(tmp_path)
    assert len(second) == 7
    ids = [str(i) for i in range(7)]
    assert second.find(ids).equals(first.find(ids))
    assert second.labelled().labels.tolist() == [1.0, 0.0]


def test_the_same_labels_again_take_no_disk(tmp_path: Path) -> None:
    log = DecisionLog(tmp_path)
    size = lambda: sum(path.stat().st_size for path in (tmp_path / "labels").iterdir())  # noqa: E731 - read thrice
    log.label(["1", "2"], [1, 0])
    before = size()
    log.label(["1", "2"], [1, 0])
    assert size() == before
    log.label(["1", "2"], [1, 1])
    assert size() > before


def test_labels_and_ids_go_in_pairs(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="2 ids but 1 labels"):
        DecisionLog(tmp_path).label(["1", "2"], [1])
