"""Online writes beside the peers' driver of that work (W4), which starts this with `--also`.

    python3 w4_online_write.py --also eagleray_write=PYTHON:benchmarks/w4_online_write.py \
                               --also eagleray_write_1=PYTHON:benchmarks/w4_online_write.py

100,000 rows of ten float32 from a frame in memory, in chunks of 10,000 or (`_1`) one row a call, the way a stream's
worker stores them: the keys' values are read, advanced, and written by a script that checks the lease and each key's
offset.
"""

from __future__ import annotations

import argparse
import importlib
import tempfile
import time
from pathlib import Path

import polars as pl

from eagleray import Entity, FeatureSet, FeatureStore, FeatureVector
from eagleray.featurestore.events.leases import lease_name
from eagleray.featurestore.offline.offline import OFFSET, PARTITION
from eagleray.featurestore.streams.online_write import OnlineWriter
from eagleray.runtime.settings import Settings

common = importlib.import_module("common")  # the driver puts it on the path
CHUNK, ROWS_1 = 10_000, 5_000


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--contender", required=True)
    parser.add_argument("--redis", type=int, required=True)
    parser.add_argument("--round", type=int, default=0)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        settings = Settings(home=Path(home), redis_url=f"redis://127.0.0.1:{asked.redis}/0")
        with FeatureStore(settings) as store:
            store._client.flushdb()
            measure(store, one=asked.contender.endswith("_1"))


def measure(store: FeatureStore, *, one: bool) -> None:
    """Writes the data and prints the figures."""
    stats = FeatureSet(
        "stats", [Entity("entity_id", "int64")], "event_timestamp", dict.fromkeys(common.FEATS, "float32")
    )
    applied = store.apply(stats)
    writer = OnlineWriter(applied, store._online)
    leases = {0: store._online.lease(lease_name(applied.full_name, 0))}
    whole = pl.read_parquet(common.data_path("online"))
    rows, step = (whole.head(ROWS_1), 1) if one else (whole, CHUNK)
    numbered = rows.with_columns(
        pl.lit(0, dtype=pl.Int32).alias(PARTITION), pl.int_range(rows.height, dtype=pl.Int64).alias(OFFSET)
    )
    parts = [numbered[first : first + step] for first in range(0, rows.height, step)]
    laps, begin = [], time.perf_counter()
    for part in parts:
        lap = time.perf_counter()
        assert not writer.put(part, leases)
        laps.append(time.perf_counter() - lap)
    wall_s = time.perf_counter() - begin
    found = store.get_online_features(FeatureVector("w4", ["stats:f3"]), [{"entity_id": 17}]).to_numpy()[0, 0]
    assert abs(found - whole["f3"][17]) < 1e-6
    spread = {"p50_us": common.pct(laps, 0.5) * 1e6, "p99_us": common.pct(laps, 0.99) * 1e6} if one else {}
    common.result(rows=rows.height, wall_s=wall_s, rows_s=rows.height / wall_s, peak_mb=common.peak_mb(), **spread)


if __name__ == "__main__":
    main()
