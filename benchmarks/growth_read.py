"""How the time of an online read grows with the number of stored keys: it should not.

    python benchmarks/growth_read.py [--json] [--most 1000000]

Vectors of ten floats for 1 and 100 random keys, as numpy, on the embedded server in a home of its own.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import polars as pl

from eagleray import Entity, FeatureSet, FeatureStore, FeatureVector
from eagleray.featurestore.events.leases import lease_name
from eagleray.featurestore.offline.offline import OFFSET, PARTITION
from eagleray.featurestore.streams.online_write import OnlineWriter
from eagleray.runtime.settings import Settings

FEATURES = [f"f{place}" for place in range(10)]
CALLS = {1: 2000, 100: 500}
CHUNK = 50_000


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--most", type=int, default=1_000_000)
    given = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as home, FeatureStore(Settings(home=Path(home))) as store:
        stats = FeatureSet("stats", [Entity("id", "int64")], "ts", dict.fromkeys(FEATURES, "float64"))
        applied = store.apply(stats)
        writer = OnlineWriter(applied, store._online)
        leases = {0: store._online.lease(lease_name(applied.full_name, 0))}
        reader = store.vector_reader(FeatureVector("growth", ["stats:*"]))
        stored, keys = 0, 1_000
        while keys <= given.most:
            for first in range(stored, keys, CHUNK):
                writer.put(events(first, min(first + CHUNK, keys)), leases)
            stored = keys
            row = {"keys": keys}
            for size, calls in CALLS.items():
                asked = np.random.default_rng(keys).integers(0, keys, (calls, size)).tolist()
                laps = []
                for ids in asked:
                    begin = time.perf_counter()
                    reader.read({"id": ids})
                    laps.append(time.perf_counter() - begin)
                row[f"n{size}_p50_us"] = round(statistics.median(laps) * 1e6)
            rows.append(row)
            if not given.json:
                print(f"{keys:9,} keys: n=1 {row['n1_p50_us']} us, n=100 {row['n100_p50_us']} us")
            keys *= 10
    if given.json:
        print(json.dumps(rows))


def events(first: int, end: int) -> pl.DataFrame:
    """One event a key."""
    rng = np.random.default_rng(first)
    return pl.DataFrame(
        {
            "id": np.arange(first, end),
            "ts": pl.Series(np.arange(first, end)).cast(pl.Datetime("us", "UTC")),
            **{name: rng.normal(size=end - first) for name in FEATURES},
            PARTITION: np.zeros(end - first, dtype=np.int32),
            OFFSET: np.arange(first, end),
        }
    )


if __name__ == "__main__":
    main()
