"""How the cost of an ingestion grows: `benchmarks/growth.py --events 100000 1000000 10000000 --json`.

Each size is ingested from a Parquet file by a fresh process, which tells its time and how much memory it took.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import polars as pl

from eagleray import Aggregate, Entity, FeatureSet, FeatureStore, Settings

AGGREGATES = [Aggregate("amount", ["count", "sum", "avg", "max"], ["1h", "1d", "7d"])]
CARDS = FeatureSet("cards", [Entity("card", "int64")], "ts", {"amount": "float64"}, AGGREGATES)
BEGIN_US = 1_735_689_600_000_000
EVENTS_A_CARD = 20  # so that keys grow with events
SLICE = 1_000_000


def write_events(folder: Path, count: int) -> None:
    """A month of payments, a file a million."""
    for first in range(0, count, SLICE):
        rows = min(SLICE, count - first)
        draw = np.random.default_rng(first)
        span_us = 30 * 86_400_000_000 // max(1, count // SLICE)
        moments = BEGIN_US + first // SLICE * span_us + np.sort(draw.integers(0, span_us, rows))
        cards = draw.integers(0, max(1, count // EVENTS_A_CARD), rows)
        frame = {"card": cards, "amount": np.round(draw.lognormal(3, 1, rows), 2), "ts": moments}
        made = pl.DataFrame(frame).with_columns(pl.col("ts").cast(pl.Datetime("us", "UTC")))
        made.write_parquet(folder / f"{first // SLICE:05}.parquet")


def ingested(folder: Path) -> dict[str, float]:
    """Ingests the folder into a home of its own."""
    with FeatureStore(Settings(home=folder / "home")) as store:
        store.apply(CARDS)
        store.ingest(CARDS, [])  # the embedded server has started
        before_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        begin, begin_cpu = time.perf_counter(), time.process_time()
        count = store.ingest(CARDS, f"{folder}/*.parquet")
        wall_s, cpu_s = time.perf_counter() - begin, time.process_time() - begin_cpu
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {
        "events": count,
        "wall_s": round(wall_s, 2),
        "cpu_s": round(cpu_s, 2),
        "events_s": round(count / wall_s),
        "before_mb": round(before_mb),
        "peak_mb": round(peak_mb),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.folder:
        print(json.dumps(ingested(arguments.folder)))
        return
    told = []
    for count in arguments.events:
        with tempfile.TemporaryDirectory() as folder:
            write_events(Path(folder), count)
            command = [sys.executable, __file__, "--folder", folder]
            child = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            told.append(json.loads(child.stdout))
            if not arguments.json:
                print(told[-1], flush=True)
    if arguments.json:
        print(json.dumps(told))


if __name__ == "__main__":
    main()
