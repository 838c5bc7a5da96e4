"""Kills a batch ingestion at random moments and runs it again: `benchmarks/kill_ingest.py --times 20 --json`.

What the stores hold then is compared, as bytes, with what an ingestion that nobody disturbed has left.
"""

from __future__ import annotations

import argparse
import json
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import polars as pl

from eagleray.featurestore.batches import backfill
from eagleray.featurestore.definitions.aggregates import Aggregate
from eagleray.featurestore.definitions.entity import Entity
from eagleray.featurestore.definitions.feature_set import FeatureSet
from eagleray.featurestore.offline.offline import OFFSET, PARTITION
from eagleray.featurestore.sources import sources
from eagleray.featurestore.store import FeatureStore
from eagleray.runtime.settings import Settings

CARDS = 500
BEGIN_US = 1_735_689_600_000_000


def cards() -> FeatureSet:
    """Windows and a latest value."""
    aggregates = [Aggregate("amount", ["count", "sum", "avg", "max"], ["1h", "1d", "7d"])]
    return FeatureSet("cards", [Entity("card", "int64")], "ts", {"amount": "float64"}, aggregates, features=["amount"])


def write_events(path: Path, count: int) -> None:
    """A month of payments."""
    draw = np.random.default_rng(7)
    moments = BEGIN_US + np.sort(draw.integers(0, 30 * 86_400_000_000, count))
    frame = {"card": draw.integers(0, CARDS, count), "amount": np.round(draw.lognormal(3, 1, count), 2), "ts": moments}
    pl.DataFrame(frame).with_columns(pl.col("ts").cast(pl.Datetime("us", "UTC"))).write_parquet(path)


@contextmanager
def opened(home: Path, name: str, events: int) -> Iterator[FeatureStore]:
    """A store of its own on the home's server, in pieces so small that there are many moments to die at."""
    sources.CHUNK_ROWS, backfill.PIECE_ROWS, backfill.INLINE_ROWS = events // 10, events // 40, 0
    settings = Settings(home=home, offline_uri=str(home / f"offline-{name}"), catalog_url=f"sqlite:///{home / name}.db")
    with FeatureStore(settings) as store:
        store.apply(cards())
        yield store


def held(store: FeatureStore) -> tuple[dict[bytes, bytes], pl.DataFrame]:
    """Online values and offline rows, without what names this store and when it was."""
    applied = store.get("cards")
    keys = [f"card=i{card}" for card in range(CARDS)]
    values = store._online.read([applied.online_key(key) for key in keys])
    rows = store._offline.read(applied.full_name, ["card", "amount", "ts", PARTITION, OFFSET]).sort(PARTITION, OFFSET)
    return {key.encode(): value or b"" for key, value in zip(keys, values, strict=True)}, rows


def kill_once(home: Path, name: str, *, events: int, after_s: float) -> float:
    """Starts an ingestion and kills it; how long it lived."""
    command = [sys.executable, __file__, "--ingest", name, "--home", str(home), "--events", str(events)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()  # it has begun
        began = time.perf_counter()
        try:
            child.wait(after_s)
        except subprocess.TimeoutExpired:
            child.send_signal(signal.SIGKILL)
        return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=20)
    parser.add_argument("--events", type=int, default=60_000)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--ingest", help=argparse.SUPPRESS)
    parser.add_argument("--home", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.ingest:
        with opened(arguments.home, arguments.ingest, arguments.events) as store:
            print("begun", flush=True)
            store.ingest(cards(), arguments.home / "events.parquet")
        return
    with tempfile.TemporaryDirectory() as folder:
        told = measured(Path(folder), arguments.times, arguments.events)
    print(json.dumps(told) if arguments.json else "\n".join(f"{name}: {value}" for name, value in told.items()))


def measured(home: Path, times: int, events: int) -> dict[str, object]:
    """Runs an ingestion undisturbed, then as many as are killed."""
    write_events(home / "events.parquet", events)
    with opened(home, "whole", events) as store:
        whole_s = kill_once(home, "whole", events=events, after_s=600)
        expected, expected_rows = held(store)
        assert expected_rows.height == events
    lost = double = different = resumed = 0
    draw = random.Random(0)
    for turn in range(times):
        name = f"killed{turn}"
        kill_once(home, name, events=events, after_s=draw.uniform(0.1, 0.95) * whole_s)
        with opened(home, name, events) as store:
            resumed += store._offline.version(store.get("cards").full_name) >= 0
            store.ingest(cards(), home / "events.parquet")
            values, rows = held(store)
            assert not any((home / "staged" / store.get("cards").full_name).iterdir()), "staged files are left"
        lost += max(0, events - rows.height)
        double += max(0, rows.height - rows.unique([PARTITION, OFFSET]).height) + max(0, rows.height - events)
        different += sum(values[key] != value for key, value in expected.items()) + (not rows.equals(expected_rows))
    return {
        "events": events,
        "undisturbed_s": round(whole_s, 2),
        "kills": times,
        "killed_while_storing": resumed,
        "lost": lost,
        "double": double,
        "different": different,
    }


if __name__ == "__main__":
    main()
