"""Batch ingestions: the same bytes however they are cut, interrupted, repeated or mixed with a stream."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from eagleray.featurestore.batches import backfill
from eagleray.featurestore.batches.backfill import Ingestion, moment_us
from eagleray.featurestore.definitions.aggregates import Aggregate
from eagleray.featurestore.definitions.entity import Entity
from eagleray.featurestore.definitions.feature_set import FeatureSet
from eagleray.featurestore.definitions.rules import Rule
from eagleray.featurestore.events.arrow_staging import Staging, staged_rows
from eagleray.featurestore.events.log import Offsets
from eagleray.featurestore.events.placing import BUCKETS, places
from eagleray.featurestore.offline.offline import APPLIED, OFFSET, PARTITION
from eagleray.featurestore.sources import sources
from eagleray.featurestore.streams.settling import WorkerSettler
from eagleray.runtime.errors import InputError

from .bench import Bench

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


def cards() -> FeatureSet:
    return FeatureSet(
        "cards",
        [Entity("card")],
        "ts",
        {"amount": "float64", "city": "string"},
        [Aggregate("amount", ["count", "sum", "max"], ["1h", "1d"])],
        features=["city"],
        rules=[Rule("amount").between(-1e9, 1e9)],
    )


def events(count: int, keys: int = 23) -> pl.DataFrame:
    draw = np.random.default_rng(count)
    return pl.DataFrame(
        {
            "card": [f"c{key}|\\é\x00" for key in draw.integers(0, keys, count)],
            "ts": [NOON + timedelta(seconds=int(second)) for second in draw.integers(0, 90_000, count)],
            "amount": draw.normal(size=count),
            "city": [["Zürich", None, "x" * 30][place] for place in draw.integers(0, 3, count)],
        }
    )


@dataclass
class Dies:
    """A worker that is killed after so many pieces: before it works, or after."""

    bench: Bench
    after: int
    before_work: bool

    def settle(self, ends: Offsets) -> None:
        WorkerSettler(self.bench.worker()).settle(ends)

    def reach(self, ends: Offsets) -> None:
        self.after -= 1
        if not self.before_work or self.after >= 0:
            WorkerSettler(self.bench.worker()).settle(ends)
        if self.after < 0:
            raise KeyboardInterrupt


def run(bench: Bench, frame: pl.DataFrame, folder: Path, **more: object) -> int:
    source = sources.open_source(frame, bench.feature_set.input_schema, owner="cards")
    job = Ingestion(bench.feature_set, source, folder, bench.now_us, **more)  # type: ignore[arg-type]
    return bench.ingest(job)


def stored(bench: Bench) -> tuple[Mapping[bytes, bytes], pl.DataFrame]:
    """All that the stores hold, but for the time at which it was stored."""
    online: Mapping[bytes, bytes] = bench.stores.online._values  # type: ignore[attr-defined]
    columns = [*bench.applied.columns, PARTITION, OFFSET, APPLIED]
    offline = bench.stores.offline.read(bench.applied.full_name, columns).sort(PARTITION, OFFSET)
    return online, offline.drop(APPLIED)


def assert_same(one: Bench, other: Bench) -> None:
    (online, offline), (online_too, offline_too) = stored(one), stored(other)
    assert online == online_too
    assert offline.equals(offline_too)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sizes at which five hundred rows are a large batch."""
    monkeypatch.setattr(sources, "CHUNK_ROWS", 70)
    monkeypatch.setattr(backfill, "INLINE_ROWS", 0)
    monkeypatch.setattr(backfill, "PIECE_ROWS", 40)


def test_a_batch_is_the_same_bytes_however_it_is_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = Bench(cards())
    assert run(whole, events(500), tmp_path / "none") == 500
    assert not (tmp_path / "none").exists() or not any((tmp_path / "none").iterdir()), "a small batch is not staged"
    monkeypatch.setattr(backfill, "INLINE_ROWS", 0)
    for chunk, piece in ((500, 10_000), (70, 40), (1, 1000), (499, 7)):
        monkeypatch.setattr(sources, "CHUNK_ROWS", chunk)
        monkeypatch.setattr(backfill, "PIECE_ROWS", piece)
        cut = Bench(cards())
        assert run(cut, events(500), tmp_path / "staged") == 500
        assert_same(whole, cut)
        assert not any((tmp_path / "staged").iterdir()), "staged rows are left behind"


def test_a_batch_counts_once(tmp_path: Path) -> None:
    bench = Bench(cards())
    assert run(bench, events(500), tmp_path) == 500
    assert run(bench, events(500), tmp_path) == 0
    assert run(bench, events(500), tmp_path, ingest_id="again") == 500
    assert run(bench, events(499), tmp_path, ingest_id="again") == 0
    assert stored(bench)[1].height == 1000


@pytest.mark.parametrize("before_work", [True, False])
@pytest.mark.parametrize("after", [0, 1, 3])
def test_an_ingestion_that_died_goes_on_where_it_was(
    small: None, tmp_path: Path, after: int, before_work: bool
) -> None:
    once, died = Bench(cards()), Bench(cards())
    run(once, events(500), tmp_path / "once")
    source = sources.open_source(events(500), died.feature_set.input_schema, owner="cards")
    job = Ingestion(died.feature_set, source, tmp_path / "died", died.now_us)
    with pytest.raises(KeyboardInterrupt):
        died.ingest(job, Dies(died, after, before_work))
    assert any((tmp_path / "died").iterdir())
    taken = stored(died)[1].height
    assert 0 < run(died, events(500), tmp_path / "died") <= 500 - taken
    assert_same(once, died)
    assert not any((tmp_path / "died").iterdir())


def test_what_was_read_of_files_is_not_read_again(small: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    events(500).write_parquet(tmp_path / "e.parquet")
    once, died = Bench(cards()), Bench(cards())
    added: list[int] = []
    add = Staging.add

    def dies(self: Staging, run: int, *rest: object) -> None:
        if len(added) == 3:
            raise KeyboardInterrupt
        added.append(run)
        add(self, run, *rest)  # type: ignore[arg-type]

    def noted(self: Staging, run: int, *rest: object) -> None:
        added.append(run)
        add(self, run, *rest)  # type: ignore[arg-type]

    source = sources.open_source(tmp_path / "e.parquet", died.feature_set.input_schema, owner="cards")
    job = Ingestion(died.feature_set, source, tmp_path / "died", died.now_us)
    monkeypatch.setattr(Staging, "add", dies)
    with pytest.raises(KeyboardInterrupt):
        died.ingest(job)
    assert stored(died)[1].height == 0
    added.clear()
    monkeypatch.setattr(Staging, "add", noted)
    assert died.ingest(job) == 500
    assert added == [3, 4, 5, 6, 7]
    run(once, events(500), tmp_path / "once")
    assert_same(once, died)


def test_what_a_dead_ingestion_staged_goes_with_the_next_one(small: None, tmp_path: Path) -> None:
    bench = Bench(cards())
    leftover = Staging(tmp_path / "part-0", partitions=bench.stores.log.partitions)
    leftover.add(0, events(9), places([Entity("card")], events(9), bench.stores.log.partitions), [])
    run(bench, events(80), tmp_path)
    assert not any(tmp_path.iterdir())


def test_rows_put_aside_are_told_once(small: None, tmp_path: Path) -> None:
    bench = Bench(cards())
    bad = events(100).with_columns(
        pl.when(pl.int_range(pl.len()) % 25 == 0).then(2e9).otherwise("amount").alias("amount")
    )
    assert run(bench, bad, tmp_path) == 96
    assert run(bench, bad, tmp_path) == 0
    assert [letter.reason for letter in bench.stores.log.buried()] == ["amount is not between -1e+09 and 1e+09"] * 4


def test_until_leaves_the_rest_to_the_stream(tmp_path: Path) -> None:
    cut = NOON + timedelta(hours=7)
    both, batch = Bench(cards()), Bench(cards())
    late = events(500).filter(pl.col("ts") >= cut)
    assert run(batch, events(500), tmp_path, until_us=moment_us(cut)) == 500 - late.height
    batch.stream(late.to_dicts())
    run(both, events(500), tmp_path)
    asked = [{"card": card, "at": moment_us(NOON + timedelta(hours=26))} for card in events(500)["card"].unique()]
    assert both.online(asked).equals(batch.online(asked))
    assert batch.offline(asked).equals(both.offline(asked))
    with pytest.raises(InputError, match="until='soon' is no moment"):
        moment_us("soon")


def test_a_bad_row_at_the_very_end_writes_nothing(small: None, tmp_path: Path) -> None:
    bench = Bench(cards())
    text = events(300).with_columns(card=pl.lit("c"), ts=pl.col("ts").dt.to_string("iso:strict")).cast(pl.String)
    pl.concat([text, text.head(1).with_columns(amount=pl.lit("1.2.3"))]).write_csv(tmp_path / "e.csv")
    source = sources.open_source(tmp_path / "e.csv", bench.feature_set.input_schema, owner="cards")
    job = Ingestion(bench.feature_set, source, tmp_path / "staged", bench.now_us)
    with pytest.raises(InputError, match=r"row 302: column 'amount' holds '1\.2\.3', not a number"):
        bench.ingest(job)
    assert (stored(bench)[1].height, bench.stores.log.ends()) == (0, {0: -1, 1: -1})


def test_pieces_hold_every_row_of_a_partition_once(tmp_path: Path) -> None:
    frame = pl.DataFrame({"x": range(1000)})
    where = np.random.default_rng(0).choice([0, 3, 31, 40, 63], size=1000, p=[0.6, 0.1, 0.1, 0.1, 0.1])
    staging = Staging(tmp_path / "s", partitions=2)
    for run, first in enumerate(range(0, 1000, 300)):
        staging.add(run, frame[first : first + 300], where[first : first + 300], [])
    staging.seal(range(4))
    assert sum(staging.rows()) == 1000
    for partition in (0, 1):
        pieces = staging.pieces(partition, most=150)
        read = [
            staged_rows(str(staging.folder), partition, partitions=2, first=first, count=count)["x"].to_list()
            for first, count in pieces
        ]
        assert all(0 < len(rows) <= 150 for rows in read)
        buckets = [place for place in (0, 3, 31, 40, 63) if place // BUCKETS == partition]
        assert [x for rows in read for x in rows] == [
            x for place in buckets for x in np.flatnonzero(where == place).tolist()
        ]


def test_killed_at_random_moments_nothing_is_lost_or_counted_twice() -> None:
    command = [sys.executable, str(BENCHMARKS / "kill_ingest.py"), "--times", "3", "--events", "8000", "--json"]
    told = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    assert (told["kills"], told["lost"], told["double"], told["different"]) == (3, 0, 0, 0)
