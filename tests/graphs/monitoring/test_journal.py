"""The journal: keeps the newest rows, survives a torn end, starts anew with new columns."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from eagleray.graphs.monitoring.journal import Journal


def batch(*values: int, name: str = "n") -> pa.RecordBatch:
    return pa.RecordBatch.from_pydict({name: pa.array(values, pa.int64())})


def held(folder: Path, capacity: int = 100) -> list[int]:
    return [n for one in Journal(folder, capacity=capacity).read() for n in one.column(0).to_pylist()]


def test_what_is_appended_is_there_at_once_and_for_the_next_process(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "new" / "folder", capacity=100)
    assert list(journal.read()) == []
    journal.append(batch(1, 2))
    assert held(tmp_path / "new" / "folder") == [1, 2]  # not closed: as after a crash
    second = Journal(tmp_path / "new" / "folder", capacity=100)
    second.append(batch(3))
    second.close()
    second.append(batch(4))
    assert held(tmp_path / "new" / "folder") == [1, 2, 3, 4]


def test_it_is_bounded_and_keeps_the_newest(tmp_path: Path) -> None:
    journal = Journal(tmp_path, capacity=20)
    for n in range(0, 200, 2):
        journal.append(batch(n, n + 1))
    rows = held(tmp_path)
    assert rows == list(range(200 - len(rows), 200))
    assert 20 <= len(rows) <= 32
    assert len(list(tmp_path.iterdir())) <= 6


def test_many_short_lives_lose_nothing_early(tmp_path: Path) -> None:
    for n in range(30):
        Journal(tmp_path, capacity=20).append(batch(n))
    rows = held(tmp_path)
    assert rows == list(range(30 - len(rows), 30))
    assert 20 <= len(rows) <= 22


def test_a_torn_end_costs_only_itself(tmp_path: Path) -> None:
    journal = Journal(tmp_path, capacity=1_000)
    for n in range(5):
        journal.append(batch(n))
    path = next(tmp_path.iterdir())
    path.write_bytes(path.read_bytes()[:-20])
    assert held(tmp_path) == [0, 1, 2, 3]
    path.write_bytes(b"")
    assert held(tmp_path) == []
    path.write_bytes(b"nonsense, longer than a header")
    Journal(tmp_path, capacity=1_000).append(batch(9))
    assert held(tmp_path) == [9]


def test_other_columns_start_another_stream(tmp_path: Path) -> None:
    journal = Journal(tmp_path, capacity=1_000)
    journal.append(batch(1))
    journal.append(batch(2, name="m"))
    journal.append(batch(3))
    assert held(tmp_path) == [1, 2, 3]
    assert len(list(tmp_path.iterdir())) == 3


def test_the_files_are_private(tmp_path: Path) -> None:
    Journal(tmp_path, capacity=10).append(batch(1))
    assert next(tmp_path.iterdir()).stat().st_mode & 0o077 == 0


def test_a_refusing_disk_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OSError, match="file"):
        Journal(tmp_path / "file" / "folder", capacity=10).append(batch(1))
