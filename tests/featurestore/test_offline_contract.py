"""The contract of the offline store, on memory and on Delta tables, and what is Delta's own."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
from deltalake import DeltaTable

from eagleray.featurestore.offline.delta_offline import DeltaOfflineStore
from eagleray.featurestore.offline.offline import (
    APPLIED,
    OFFSET,
    PARTITION,
    Compacted,
    MemoryOfflineStore,
    OfflineStore,
)
from eagleray.runtime.errors import PinNotFound, StorageError


@pytest.fixture(params=["memory", "delta"])
def offline(request: pytest.FixtureRequest, tmp_path: Path) -> OfflineStore:
    return MemoryOfflineStore() if request.param == "memory" else DeltaOfflineStore(str(tmp_path / "tables"))


class TestOfflineStore:
    def test_an_append_repeated_adds_nothing(self, offline: OfflineStore) -> None:
        offline.append("t", rows(0, [0, 1, 2]), last_offsets={0: 2})
        offline.append("t", rows(0, [1, 2, 3]), last_offsets={0: 3})
        offline.append("t", rows(0, [0, 3]), last_offsets={0: 3})
        assert sorted(offline.read("t", [OFFSET])[OFFSET].to_list()) == [0, 1, 2, 3]
        assert (offline.last_offset("t", 0), offline.last_offset("t", 1)) == (3, -1)

    def test_partitions_have_offsets_of_their_own(self, offline: OfflineStore) -> None:
        both = pl.concat([rows(0, [5]), rows(1, [0])])
        offline.append("t", both, last_offsets={0: 5, 1: 0})
        assert (offline.last_offset("t", 0), offline.last_offset("t", 1)) == (5, 0)
        assert offline.read("t", ["x"]).height == 2

    def test_reads_from_a_moment_on(self, offline: OfflineStore) -> None:
        offline.append("t", rows(0, [0, 1, 2]), last_offsets={0: 2})
        assert offline.read("t", [OFFSET], from_us=("ts", 1_000_000))[OFFSET].to_list() == [1, 2]
        assert offline.read("t", [OFFSET], where=pl.col(OFFSET) < 1)[OFFSET].to_list() == [0]

    def test_an_unknown_table_is_empty(self, offline: OfflineStore) -> None:
        assert offline.read("none", ["a", "b"]).columns == ["a", "b"]
        assert (offline.last_offset("none", 0), offline.version("none")) == (-1, -1)

    def test_versions_count_appends(self, offline: OfflineStore) -> None:
        offline.append("t", rows(0, [0]), last_offsets={0: 0})
        offline.append("t", rows(0, [1]), last_offsets={0: 1})
        assert offline.version("t") == 1

    def test_the_offsets_of_a_version_bring_its_rows_back(self, offline: OfflineStore) -> None:
        offline.append("t", rows(0, [0, 1]), last_offsets={0: 1})
        offline.append("t", pl.concat([rows(0, [2]), rows(2, [0])]), last_offsets={0: 2, 2: 0})
        assert offline.offsets("t", 0) == {0: 1}
        assert offline.offsets("t") == offline.offsets("t", 1) == {0: 2, 2: 0}
        assert offline.read("t", [OFFSET], upto=offline.offsets("t", 0))[OFFSET].to_list() == [0, 1]
        assert offline.read("t", [OFFSET], upto=offline.offsets("t")).height == 4
        assert offline.read("t", [OFFSET], upto={}).height == 0

    def test_compaction_keeps_rows_and_offsets(self, offline: OfflineStore) -> None:
        for offset in range(5):
            offline.append("t", rows(offset % 2, [offset]), last_offsets={offset % 2: offset})
        assert offline.compact("t") == Compacted(5, 1)
        assert offline.compact("t") == Compacted(1, 1)
        offline.append("t", rows(0, [3, 4]), last_offsets={0: 4})
        offline.append("t", rows(0, [6]), last_offsets={0: 6})
        assert sorted(offline.read("t", [OFFSET])[OFFSET]) == [0, 1, 2, 3, 4, 6]
        assert sorted(offline.read("t", [OFFSET], upto=offline.offsets("t", 2))[OFFSET]) == [0, 1, 2]
        assert offline.offsets("t") == {0: 6, 1: 3}
        assert offline.compact("none") == Compacted(0, 0)

    def test_erased_rows_are_gone_from_every_version_and_do_not_come_back(self, offline: OfflineStore) -> None:
        offline.append("t", rows(0, [0, 1, 2]), last_offsets={0: 2})
        offline.append("t", rows(1, [0, 1]), last_offsets={1: 1})
        gone = offline.read("t", [PARTITION, OFFSET], where=pl.col("x") == 1)
        assert offline.erase("t", gone) == 2
        assert offline.erase("t", gone) == 0
        assert sorted(offline.read("t", ["x"], upto=offline.offsets("t", 1))["x"]) == [0, 0, 2]
        offline.append("t", rows(0, [0, 1, 2]), last_offsets={0: 2})
        assert sorted(offline.read("t", ["x"])["x"]) == [0, 0, 2]
        assert offline.erase("none", gone) == 0

    def test_a_partition_without_a_row_keeps_its_offset(self, offline: OfflineStore) -> None:
        offline.append("t", rows(0, [0])[:0], last_offsets={0: 4, 2: 7})
        assert offline.offsets("t") == {0: 4, 2: 7}
        offline.append("t", rows(3, [0]), last_offsets={3: 0})
        assert offline.erase("t", rows(3, [0])) == 1
        assert offline.offsets("t") == {0: 4, 2: 7, 3: 0}
        assert offline.read("t", ["x"]).height == 0

    def test_rows_without_offsets_to_keep_are_just_added(self, offline: OfflineStore) -> None:
        for _ in range(2):
            offline.append("t", rows(0, [0, 1]), last_offsets={})
        assert offline.read("t", ["x"])["x"].to_list() == [0, 1, 0, 1]
        assert offline.last_offset("t", 0) == -1

    def test_a_version_that_never_was_is_not_found(self, offline: OfflineStore) -> None:
        offline.append("t", rows(0, [0]), last_offsets={0: 0})
        with pytest.raises(PinNotFound, match=r"version 7 of the offline table t .* without pins"):
            offline.offsets("t", 7)
        assert offline.offsets("none") == {}


def test_a_folder_that_cannot_be_written_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageError, match=r"offline table .* refused"):
        DeltaOfflineStore(str(tmp_path / "file")).append("t", rows(0, [0]), last_offsets={0: 0})


def test_appends_merge_the_small_files_they_leave(tmp_path: Path) -> None:
    offline = DeltaOfflineStore(str(tmp_path), merge_at_files=4)
    for offset in range(20):
        offline.append("t", rows(0, [offset]), last_offsets={0: offset})
    assert len(DeltaTable(str(tmp_path / "t")).file_uris()) < 4
    assert sorted(offline.read("t", [OFFSET])[OFFSET]) == list(range(20))
    assert offline.offsets("t") == {0: 19}


def test_offsets_outlive_compaction_checkpoint_and_vacuum(tmp_path: Path) -> None:
    offline = DeltaOfflineStore(str(tmp_path))
    for offset in range(3):
        offline.append("t", rows(0, [offset]), last_offsets={0: offset})
    offline.compact("t")
    table = DeltaTable(str(tmp_path / "t"))
    table.create_checkpoint()
    assert len(table.vacuum(0, dry_run=False, enforce_retention_duration=False)) == 3
    offline.append("t", rows(0, [1, 2]), last_offsets={0: 2})
    assert sorted(offline.read("t", [OFFSET])[OFFSET]) == [0, 1, 2]
    assert sorted(offline.read("t", [OFFSET], upto=offline.offsets("t", 1))[OFFSET]) == [0, 1]


def test_two_appends_of_the_same_events_at_once_count_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slow, quick = DeltaOfflineStore(str(tmp_path)), DeltaOfflineStore(str(tmp_path))
    slow.append("t", rows(0, [0]), last_offsets={0: 0})
    seen = slow._open("t")
    quick.append("t", rows(0, [1]), last_offsets={0: 1})
    monkeypatch.setattr(slow, "_open", lambda _: seen)  # it looked before the other one wrote
    with pytest.raises(StorageError, match="refused"):
        slow.append("t", rows(0, [1]), last_offsets={0: 1})
    assert sorted(quick.read("t", [OFFSET])[OFFSET]) == [0, 1]


def test_no_file_of_a_table_holds_what_was_erased(tmp_path: Path) -> None:
    offline = DeltaOfflineStore(str(tmp_path))
    named = [rows(0, [offset]).with_columns(name=pl.lit("secret" if offset % 2 else "plain")) for offset in range(6)]
    for offset, frame in enumerate(named):
        offline.append("t", frame, last_offsets={0: offset})
    offline.compact("t")
    assert offline.erase("t", offline.read("t", [PARTITION, OFFSET], where=pl.col("name") == "secret")) == 3
    for path in (tmp_path / "t").rglob("*"):
        if path.suffix == ".parquet":
            assert "secret" not in pl.read_parquet(path).write_json()
        elif path.is_file():
            assert b"secret" not in path.read_bytes(), path


def test_a_reader_that_had_opened_the_table_before_an_erasure_reads_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    eraser, reader = DeltaOfflineStore(str(tmp_path)), DeltaOfflineStore(str(tmp_path))
    eraser.append("t", rows(0, [0, 1, 2]), last_offsets={0: 2})
    seen, opened = [reader._open("t")], reader._open
    assert eraser.erase("t", rows(0, [1])) == 1
    monkeypatch.setattr(reader, "_open", lambda table: seen.pop() if seen else opened(table))
    assert sorted(reader.read("t", [OFFSET])[OFFSET]) == [0, 2]
    stale = opened("t")
    monkeypatch.setattr(reader, "_open", lambda _: stale)
    assert eraser.erase("t", rows(0, [0])) == 1
    with pytest.raises(StorageError, match="refused"):
        reader.read("t", [OFFSET])


def test_a_writer_beside_an_erasure_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    eraser, writer = DeltaOfflineStore(str(tmp_path)), DeltaOfflineStore(str(tmp_path))
    writer.append("t", rows(0, [0, 1]), last_offsets={0: 1})
    seen = [eraser._open("t")]
    writer.append("t", rows(0, [2, 3]), last_offsets={0: 3})
    opened = eraser._open
    monkeypatch.setattr(eraser, "_open", lambda table: seen.pop() if seen else opened(table))
    assert eraser.erase("t", rows(0, [1, 3])) + eraser.erase("t", rows(0, [1, 3])) == 2
    assert sorted(writer.read("t", [OFFSET])[OFFSET]) == [0, 2]


def rows(partition: int, offsets: list[int]) -> pl.DataFrame:
    """Rows as a worker writes them: one second apart."""
    moments = pl.Series([offset * 1_000_000 for offset in offsets]).cast(pl.Datetime("us", "UTC"))
    return pl.DataFrame(
        {
            "x": [float(offset) for offset in offsets],
            "ts": moments,
            PARTITION: pl.Series([partition] * len(offsets), dtype=pl.Int32),
            OFFSET: pl.Series(offsets, dtype=pl.Int64),
            APPLIED: moments,
        }
    )
