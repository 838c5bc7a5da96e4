"""A training set beside the peers' point-in-time joins: the contender that the driver of that work (W2) runs.

    python3 w2_pit_join.py --rounds 5 --also eagleray=PYTHON:benchmarks/w2_pit_join.py

Timed as for the others: from the paths on disk to the joined table in memory, imports done. The labels are the same
Parquet file; the events lie in the store's own offline table, as ingested and compacted before (once, not timed).
"""

from __future__ import annotations

import subprocess
import sys
import time
from importlib import import_module
from pathlib import Path

started = time.perf_counter()
import polars as pl  # noqa: E402 - how long the imports take is part of the result

from eagleray import Entity, FeatureSet, FeatureStore, FeatureVector, Settings  # noqa: E402

peers = import_module("common")  # in the peers' folder, which their driver puts on the path
for late in ("eagleray.featurestore.offline.delta_offline", "eagleray.runtime.sql_catalog", "numpy.ma"):
    import_module(late)
IMPORT_S = time.perf_counter() - started
HISTORY = FeatureSet(
    "hist", [Entity("entity_id", "int64")], "event_timestamp", dict.fromkeys(peers.FEATS, "float32"), ttl="7d"
)
VECTOR = FeatureVector("w2", ["hist:*"], event_time="event_timestamp", label="label")
COLUMNS = [f"hist__{name}" for name in peers.FEATS]


def prepare(settings: Settings) -> None:
    """The events into a home of their own."""
    with FeatureStore(settings) as store:
        store.apply(HISTORY)
        store.ingest(HISTORY, peers.data_path("features"))
        store.compact("hist")
    (settings.home / "ready").touch()


def main() -> None:
    settings = Settings(home=Path(peers.peers_dir()) / "data" / "eagleray-w2")
    if sys.argv[1:] == ["--prepare"]:
        prepare(settings)
        return
    if sys.argv[1:2] != ["--contender"]:
        raise SystemExit(__doc__)
    if not (settings.home / "ready").exists():
        subprocess.run([sys.executable, __file__, "--prepare"], check=True)  # its memory is not the join's
    base_mb = peers.peak_mb()
    begin = time.perf_counter()
    with FeatureStore(settings) as store:
        labels = pl.read_parquet(peers.data_path("labels"))
        joined = store.get_historical_features(VECTOR, labels).to_polars()
    wall_s = time.perf_counter() - begin
    peers.result(
        rows=joined.height,
        wall_s=wall_s,
        rows_s=joined.height / wall_s,
        base_mb=base_mb,
        peak_mb=peers.peak_mb(),
        joined=int(joined[COLUMNS[0]].is_not_null().sum()),
        check=round(sum(float(joined[name].sum()) for name in COLUMNS), 1),
        import_s=IMPORT_S,
    )


if __name__ == "__main__":
    main()
