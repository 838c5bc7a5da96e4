"""Tumbling windows: each row in its own, bounded memory, merged on demand, found again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from eagleray.featurestore.quality.exact_profile import ExactProfile
from eagleray.featurestore.quality.profile import Span
from eagleray.graphs.monitoring.profile_windows import ProfileWindows
from eagleray.runtime.errors import DefinitionError


def windows(folder: Path, **options: int) -> ProfileWindows:
    return ProfileWindows(
        folder,
        window_us=10,
        new=ExactProfile,
        load=ExactProfile.from_bytes,
        **options,
    )


def add(target: ProfileWindows, *times: int) -> None:
    target.add({"t": np.array(times, float)}, np.array(times, np.int64))


def test_rows_fall_into_the_window_of_their_time(tmp_path: Path) -> None:
    held = windows(tmp_path)
    add(held, 0, 9, 10, 25, 3, -1)
    found = {p.span: p.summary("t").rows for p in held.between(-100, 100)}
    assert found == {Span(-10, 0): 1, Span(0, 10): 3, Span(10, 20): 1, Span(20, 30): 1}
    assert [p.span for p in held.between(10, 20)] == [Span(10, 20)]
    assert [p.span for p in held.between(9, 11)] == [Span(0, 10), Span(10, 20)]
    assert list(held.between(30, 99)) == []


def test_the_newest_windows_until_there_are_enough_rows(tmp_path: Path) -> None:
    held = windows(tmp_path)
    assert held.recent(100, min_rows=1) is None
    add(held, *range(40))
    newest = held.recent(100, min_rows=15)
    assert newest is not None
    assert (newest.span, newest.rows) == (Span(20, 40), 20)
    older = held.recent(20, min_rows=5)
    assert older is not None
    assert older.span == Span(10, 20)
    everything = held.recent(100, min_rows=10_000)
    assert everything is not None
    assert everything.rows == 40


def test_memory_is_bounded_and_nothing_is_lost(tmp_path: Path) -> None:
    held = windows(tmp_path, keep_open=3)
    for _ in range(2):  # the second round opens windows that have left memory
        for start in range(0, 100, 10):
            add(held, start, start + 1)
    assert [p.rows for p in held.between(0, 100)] == [4] * 10
    held.save()
    assert [p.rows for p in windows(tmp_path).between(0, 100)] == [4] * 10
    assert not list(tmp_path.rglob("*.draft"))


def test_a_restart_goes_on_where_it_was(tmp_path: Path) -> None:
    first = windows(tmp_path)
    add(first, 1, 11)
    first.save()
    second = windows(tmp_path)
    add(second, 2)
    assert [p.rows for p in second.between(0, 100)] == [2, 1]


def test_the_disk_is_bounded(tmp_path: Path) -> None:
    held = windows(tmp_path, keep_files=4)
    add(held, *range(0, 100, 10))
    held.save()
    assert sorted(p.span.start_us for p in windows(tmp_path).between(0, 100) if p.span) == [60, 70, 80, 90]


def test_windows_of_another_length_keep_to_themselves(tmp_path: Path) -> None:
    held = windows(tmp_path)
    add(held, 5)
    held.save()
    longer = ProfileWindows(tmp_path, window_us=1_000, new=ExactProfile, load=ExactProfile.from_bytes)
    assert longer.recent(100, min_rows=1) is None


def test_a_refusing_disk_is_told_and_the_profile_stays(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    held = windows(tmp_path / "file")
    add(held, 5)
    with pytest.raises(OSError, match="file"):
        held.save()
    assert [p.rows for p in held.between(0, 10)] == [1]


def test_a_window_without_length_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DefinitionError, match="give a duration"):
        ProfileWindows(tmp_path, window_us=0)
