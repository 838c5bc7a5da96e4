"""Training sets larger than memory: one join in this process and on Ray, at two sizes, with the memory each one took.

    python benchmarks/join_on_ray.py --json      # some minutes

Events with a window of a day (count, avg, max) and a latest value; a label for every tenth event. The rows of both are
compared as bytes. Memory is a process's own (what it shares with others, such as Ray's object store, is not counted).
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import polars as pl
import psutil

from eagleray import Aggregate, Entity, FeatureSet, FeatureStore, FeatureVector, Settings
from eagleray.featurestore.offline import ray_training_set
from eagleray.featurestore.offline.delta_offline import DeltaOfflineStore
from eagleray.featurestore.offline.offline import APPLIED, OFFSET, PARTITION
from eagleray.runtime import ray_cluster

SIZES = (1_000_000, 4_000_000)
ROWS_A_PART = 250_000
EVENTS_A_COMMIT = 500_000
KEYS, DAYS = 50_000, 30
BEGIN_US, DAY_US = 1_767_225_600_000_000, 86_400_000_000
PAID = FeatureSet(
    "paid",
    [Entity("card", "int64")],
    "ts",
    {"amount": "float64", "shop": "string"},
    [Aggregate("amount", ["count", "avg", "max"], ["1d"])],
    features=["shop"],
)
VECTOR = FeatureVector("on_ray", ["paid:*"], event_time="at")


def moments(rng: np.random.Generator, count: int) -> pl.Series:
    return pl.Series(BEGIN_US + rng.integers(0, DAYS * DAY_US, count)).cast(pl.Datetime("us", "UTC"))


def prepare(settings: Settings, events: int) -> Path:
    """The events straight into the offline table, and the labels into a file."""
    rng = np.random.default_rng(events)
    with FeatureStore(settings) as store:
        table = store.apply(PAID).full_name
    offline = DeltaOfflineStore(settings.offline_root)
    for first in range(0, events, EVENTS_A_COMMIT):
        count = min(EVENTS_A_COMMIT, events - first)
        ts = moments(rng, count)
        frame = pl.DataFrame(
            {
                "card": rng.integers(0, KEYS, count),
                "ts": ts,
                "amount": np.round(rng.lognormal(3, 1, count), 2),
                "shop": pl.Series(rng.integers(0, 500, count)).cast(pl.String),
                PARTITION: pl.Series(np.zeros(count, dtype=np.int32)),
                OFFSET: np.arange(first, first + count),
                APPLIED: ts,
            }
        )
        offline.append(table, frame, last_offsets={0: first + count - 1})
    path = settings.home / "labels.parquet"
    pl.DataFrame({"card": rng.integers(0, KEYS, events // 10), "at": moments(rng, events // 10)}).write_parquet(path)
    return path


class Watch:
    """The largest memory of its own that one process below this one, or this one, had in a `with` block."""

    def __enter__(self) -> Watch:
        self.peak_mb, self._ends = 0.0, threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ends.set()
        self._thread.join()

    def _run(self) -> None:
        me = psutil.Process()
        while not self._ends.wait(0.1):
            for process in [me, *me.children(recursive=True)]:
                try:
                    self.peak_mb = max(self.peak_mb, process.memory_full_info().uss / 2**20)
                except psutil.Error:
                    continue


def joined(home: Path, engine: str, labels: Path) -> dict[str, object]:
    """One join in this process, measured; its rows are left in a file beside the labels."""
    settings = Settings(home=home)
    ray_training_set.ROWS_A_PART = ROWS_A_PART
    if engine == "ray":
        build = ray_training_set.build_on_ray
        ray_training_set.build_on_ray = lambda *a, **k: build(*a, **k, rows_a_part=ROWS_A_PART)
        ray_cluster.connect(settings)
    with FeatureStore(settings) as store, Watch() as watch:
        begin = time.perf_counter()
        source = pl.read_parquet(labels) if engine == "local" else labels
        made = store.get_historical_features(VECTOR, source, engine=engine)  # type: ignore[arg-type]
        rows = made.frame.height if engine == "local" else made.to_ray().count()
        wall_s = time.perf_counter() - begin
    made.frame.write_parquet(labels.with_name(f"{engine}.parquet"))
    if engine == "ray":
        ray_cluster.stop()
    return {"engine": engine, "rows": rows, "wall_s": round(wall_s, 2), "peak_mb": round(watch.peak_mb)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        print(json.dumps(joined(Path(given.one[0]), given.one[1], Path(given.one[2]))))
        return
    results = []
    for events in SIZES:
        with tempfile.TemporaryDirectory() as folder:
            labels = prepare(Settings(home=Path(folder)), events)
            for engine in ("local", "ray"):
                command = [sys.executable, __file__, "--one", folder, engine, str(labels)]
                printed = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
                results.append({"events": events, **json.loads(printed.splitlines()[-1])})
            local, on_ray = (pl.read_parquet(labels.with_name(f"{engine}.parquet")) for engine in ("local", "ray"))
            results[-1]["same"] = local.equals(on_ray)
    if given.json:
        print(json.dumps(results, indent=2))
        return
    for result in results:
        print("  ".join(f"{name} {value}" for name, value in result.items()))


if __name__ == "__main__":
    main()
