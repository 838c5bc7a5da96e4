"""Windows over every event of a history: beside the peers' batch engines, the contender of that work's driver (W3).

    python3 w3_windows.py --rounds 3 --only polars_rolling --also eagleray=PYTHON:benchmarks/w3_batch.py
    python benchmarks/w3_batch.py --json              # alone, over events of its own

Two figures: `events_s` is a training set over the store's own events (count, sum, avg and max over 1h, 1d and 7d as
they were right after each event, read from the offline table), `ingest_events_s` is the ingestion before it, offline
and online.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from importlib import import_module
from pathlib import Path

import numpy as np
import polars as pl

from eagleray import Aggregate, Entity, FeatureSet, FeatureStore, FeatureVector, Settings

AGGREGATES = [Aggregate("amount", ["count", "sum", "avg", "max"], ["1h", "1d", "7d"])]
CARDS = FeatureSet("cards", [Entity("card", "int64")], "ts", {"amount": "float64"}, AGGREGATES)
VECTOR = FeatureVector("w3", ["cards:*"], event_time="ts")
BEGIN_US = 1_735_689_600_000_000


def payments(count: int) -> pl.DataFrame:
    """A month of payments of 50,000 cards, some of them busy, most of them not."""
    draw = np.random.default_rng(2)
    weights = 1 / np.arange(1, 50_001) ** 1.1
    cards = draw.permutation(50_000)[draw.choice(50_000, size=count, p=weights / weights.sum())]
    moments = BEGIN_US + np.sort(draw.integers(0, 30 * 86_400_000_000, count))
    frame = {"card": cards, "amount": np.round(draw.lognormal(3, 1, count), 2), "ts": moments}
    return pl.DataFrame(frame).with_columns(pl.col("ts").cast(pl.Datetime("us", "UTC")))


def measured(source: pl.DataFrame | Path) -> dict[str, float]:
    """Ingests the events into a home of their own, then asks for the windows after each of them."""
    with tempfile.TemporaryDirectory() as home, FeatureStore(Settings(home=Path(home))) as store:
        store.apply(CARDS)
        store.ingest(CARDS, [])  # the embedded server has started
        begin = time.perf_counter()
        count = store.ingest(CARDS, source)
        ingest_s = time.perf_counter() - begin
        events = pl.read_parquet(source) if isinstance(source, Path) else source
        # The head of a window is open: a moment later the event itself is inside, as it is for the others.
        labels = events.select("card", pl.col("ts") + pl.duration(microseconds=1))
        begin = time.perf_counter()
        made = store.get_historical_features(VECTOR, labels).to_polars()
        wall_s = time.perf_counter() - begin
    assert made.height == count
    return {
        "events": count,
        "wall_s": wall_s,
        "events_s": count / wall_s,
        "ingest_s": ingest_s,
        "ingest_events_s": count / ingest_s,
        "check_count7d": float(made["cards__amount_count_7d"].sum()),
    }


def main() -> None:
    if "--contender" in sys.argv:
        peers = import_module("common")  # in the peers' folder, which their driver puts on the path
        before_mb = peers.rss_mb()
        told = measured(Path(peers.data_path("events")))
        peers.result(**told, rss_growth_mb=peers.rss_mb() - before_mb, peak_mb=peers.peak_mb())
        return
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    told = measured(payments(arguments.events))
    print(json.dumps(told) if arguments.json else "\n".join(f"{name}: {value:,.1f}" for name, value in told.items()))


if __name__ == "__main__":
    main()
