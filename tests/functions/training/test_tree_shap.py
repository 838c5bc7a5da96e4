"""Our own TreeSHAP against every set of features asked about, on trees drawn at random."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import combinations
from math import comb

import numpy as np
import pytest

from eagleray.functions.training import tree_factors
from eagleray.functions.training.tree_contributions import contributions
from eagleray.functions.training.tree_factors import prepared
from eagleray.functions.training.tree_paths import Trees, numbered

WIDTH = 4


def drawn(rng: np.random.Generator, *, levels: int, width: int = WIDTH, whole: bool = False) -> Trees:
    """A tree of at most so many levels, where thresholds are few so that rows meet them."""
    left: list[int] = []
    right: list[int] = []
    feature: list[int] = []
    null_left: list[bool] = []
    threshold: list[float] = []
    cover: list[float] = []
    value: list[float] = []

    def grow(depth: int, seen: float) -> int:
        node = len(left)
        for column in (left, right, feature):
            column.append(-1)
        cover.append(seen)
        threshold.append(float(rng.integers(-2, 3)))
        null_left.append(bool(rng.integers(2)))
        value.append(float(rng.normal()))
        if depth < levels and (whole or rng.random() < 0.8):
            feature[node] = int(rng.integers(width))
            share = float(rng.uniform(0.01, 0.99))
            left[node] = grow(depth + 1, seen * share)
            right[node] = grow(depth + 1, seen * (1 - share))
        return node

    grow(0, 1000.0)
    return Trees(
        roots=np.zeros(1, np.intp),
        left=np.array(left, np.intp),
        right=np.array(right, np.intp),
        feature=np.array(feature, np.intp),
        threshold=np.array(threshold),
        null_left=np.array(null_left),
        cover=np.array(cover),
        value=np.array(value),
    )


def expected(trees: Trees, node: int, row: np.ndarray, known: frozenset[int]) -> float:
    """What the tree answers where only those features are known: else both ways, by the shares of the training rows."""
    left, right = int(trees.left[node]), int(trees.right[node])
    if left < 0:
        return float(trees.value[node])
    value = row[trees.feature[node]]
    if int(trees.feature[node]) in known:
        goes_left = trees.null_left[node] if np.isnan(value) else value < trees.threshold[node]
        return expected(trees, left if goes_left else right, row, known)
    ways = [trees.cover[child] / trees.cover[node] * expected(trees, child, row, known) for child in (left, right)]
    return float(sum(ways))


def by_all_sets(trees: Trees, row: np.ndarray) -> np.ndarray:
    """Shapley's formula, set by set."""
    parts = np.zeros(WIDTH)
    for one in range(WIDTH):
        others = [feature for feature in range(WIDTH) if feature != one]
        for size in range(WIDTH):
            for chosen in map(frozenset, combinations(others, size)):
                gains = (
                    expected(trees, int(root), row, chosen | {one}) - expected(trees, int(root), row, chosen)
                    for root in trees.roots
                )
                parts[one] += sum(gains) / (WIDTH * comb(WIDTH - 1, size))
    return parts


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("levels", [0, 1, 2, 5])
def test_parts_are_those_of_all_sets_of_features(seed: int, levels: int) -> None:
    rng = np.random.default_rng(seed)
    trees = numbered([drawn(rng, levels=levels) for _ in range(3)])
    rows = rng.integers(-3, 4, size=(8, WIDTH)).astype(float)
    rows[rng.random(rows.shape) < 0.2] = np.nan
    rows[0, 0], rows[1, 1] = np.inf, -np.inf
    one = prepared(trees, width=WIDTH)
    assert one is not None
    assert one.parts(rows) == pytest.approx(np.array([by_all_sets(trees, row) for row in rows]), abs=1e-12)
    assert one.parts(rows[3:4]).tolist() == one.parts(rows)[3:4].tolist()
    assert one.parts(rows[:0]).shape == (0, WIDTH)


def test_deep_trees_of_many_features_add_up() -> None:
    rng = np.random.default_rng(0)
    trees = numbered([drawn(rng, levels=12, width=30) for _ in range(5)])
    rows = rng.integers(-3, 4, size=(20, 30)).astype(float)
    one = prepared(trees, width=30)
    assert one is not None
    every, none = frozenset(range(30)), frozenset[int]()
    gaps = [sum(expected(trees, r, row, every) - expected(trees, r, row, none) for r in trees.roots) for row in rows]
    assert one.parts(rows).sum(axis=1) == pytest.approx(gaps, abs=1e-10)


def test_threads_do_not_disturb_each_other() -> None:
    rng = np.random.default_rng(1)
    one = prepared(numbered([drawn(rng, levels=6, whole=True) for _ in range(50)]), width=WIDTH)
    assert one is not None
    rows = rng.normal(size=(400, WIDTH))
    alone = one.parts(rows)
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda place: one.parts(rows[place : place + 1])[0], range(400)))
    assert np.array(together).tolist() == alone.tolist()


def test_what_is_prepared_of_300_trees_of_depth_6_takes_few_megabytes() -> None:
    rng = np.random.default_rng(2)
    one = prepared(numbered([drawn(rng, levels=6, width=40, whole=True) for _ in range(300)]), width=40)
    assert one is not None
    assert 1e6 < one.memory_bytes < 10e6


def test_what_is_too_deep_too_large_or_was_never_reached_is_left_to_others(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(3)
    trees = drawn(rng, levels=6, whole=True)
    assert prepared(trees, width=WIDTH) is not None
    unreached = trees.cover.copy()
    unreached[-1] = 0
    assert prepared(replace(trees, cover=unreached), width=WIDTH) is None
    monkeypatch.setattr(tree_factors, "MOST_LEVELS", 5)
    assert prepared(trees, width=WIDTH) is None
    monkeypatch.setattr(tree_factors, "MOST_LEVELS", 6)
    monkeypatch.setattr(tree_factors, "MOST_BYTES", 9_000)
    assert prepared(trees, width=WIDTH) is None


def test_a_library_that_says_otherwise_explains_itself() -> None:
    trees = drawn(np.random.default_rng(4), levels=3, whole=True)
    one = prepared(trees, width=WIDTH)
    assert one is not None

    def library(rows: np.ndarray) -> np.ndarray:
        return np.column_stack((one.parts(rows), np.full(len(rows), 0.25)))

    def other(rows: np.ndarray) -> np.ndarray:
        return library(rows) * 1.01

    rows = np.ones((2, WIDTH))
    found = contributions(trees, width=WIDTH, library=library)
    assert found is not library
    assert found(rows).tolist() == library(rows).tolist()
    assert contributions(trees, width=WIDTH, library=other) is other
    assert contributions(None, width=WIDTH, library=library) is library
