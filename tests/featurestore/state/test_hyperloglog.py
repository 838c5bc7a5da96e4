"""Distinct counts: exact while small, close beyond, and the same records in any order of merging."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from eagleray.featurestore.state import hyperloglog
from eagleray.featurestore.state.hyperloglog import EXACT

Int64s = hyperloglog.Int64s


def reduced(codes: Int64s) -> Int64s:
    return hyperloglog.reduced(np.zeros(len(codes), dtype=np.int64), codes)[1][0]


def count(codes: Int64s) -> int:
    return int(hyperloglog.counts(np.array([len(codes)]), codes)[0])


@pytest.mark.parametrize("size", [1, 2, EXACT - 1, EXACT])
def test_small_sets_are_exact(size: int) -> None:
    codes = hyperloglog.hashes(pl.Series(np.repeat(np.arange(size), 3)))
    assert count(reduced(codes)) == size


@pytest.mark.parametrize("size", [EXACT + 1, 500, 5_000, 200_000])
def test_large_sets_are_close(size: int) -> None:
    errors = []
    for seed in range(5):
        codes = hyperloglog.hashes(pl.Series(np.arange(size) + seed * 10**9))
        records = reduced(codes)
        assert len(records) <= 1024
        errors.append(count(records) / size - 1)
    assert np.sqrt(np.mean(np.square(errors))) < 0.06  # 3.25 % is the method's own


@pytest.mark.parametrize("size", [EXACT, EXACT + 1, 3_000])
def test_any_cut_and_order_of_merging_gives_the_same_records(size: int) -> None:
    rng = np.random.default_rng(size)
    codes = hyperloglog.hashes(pl.Series([f"user {n}" for n in range(size)]))
    whole = reduced(codes)
    for _ in range(20):
        shuffled = rng.permutation(np.concatenate([codes, rng.choice(codes, size)]))
        parts = np.array_split(shuffled, rng.integers(1, 40))
        merged = reduced(parts[0])
        for part in parts[1:]:
            merged = reduced(np.concatenate([merged, reduced(part)]))
        assert np.array_equal(merged, whole)


def test_hashes_are_the_same_for_ever() -> None:
    assert hyperloglog.hashes(pl.Series(["a", "é"])).tolist() == [-5817975226614482880, -5829360032487105845]
    assert hyperloglog.hashes(pl.Series([0, 1])).tolist() == [-2152535657050944081, -7995527694508729151]
    assert hyperloglog.hashes(pl.Series([0.5])).tolist() == [-840316820457468307]
