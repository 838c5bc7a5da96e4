"""Online reads beside the peers' driver of that work (W1), which starts this with `--also`.

    python3 w1_online_read.py --also eagleray_numpy=PYTHON:benchmarks/w1_online_read.py \
                              --also eagleray_dict=PYTHON:benchmarks/w1_online_read.py

Vectors of ten floats for 1, 10 and 100 keys out of 100,000, through `FeatureStore.get_online_features`; the name
says whether they are asked for as numpy or as lists by column. Loading is not timed.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import tempfile
from pathlib import Path

import polars as pl

from eagleray import Entity, FeatureSet, FeatureStore, FeatureVector
from eagleray.runtime.settings import Settings

common = importlib.import_module("common")  # the driver puts it on the path
DATABASE = 2  # the peers use 0 and 1


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--contender", required=True)
    parser.add_argument("--redis", type=int, required=True)
    parser.add_argument("--round", type=int, default=0)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        settings = Settings(home=Path(home), redis_url=f"redis://127.0.0.1:{asked.redis}/{DATABASE}")
        with FeatureStore(settings) as store:
            store._client.flushdb()
            measure(store, numpy=asked.contender.endswith("numpy"), round_=asked.round)
            store._client.flushdb()


def measure(store: FeatureStore, *, numpy: bool, round_: int) -> None:
    """Loads the data and prints the figures of one round."""
    stats = FeatureSet(
        "stats", [Entity("entity_id", "int64")], "event_timestamp", dict.fromkeys(common.FEATS, "float64")
    )
    store.apply(stats)
    store.ingest(stats, pl.read_parquet(common.data_path("online")))
    vector = FeatureVector("w1", [f"stats:{name}" for name in common.FEATS])
    reader = store.vector_reader(vector)

    def as_numpy(keys: list[int]) -> object:
        return reader.get([{"entity_id": key} for key in keys]).to_numpy()

    def as_dict(keys: list[int]) -> dict[str, list[object]]:
        found = reader.get([{"entity_id": key} for key in keys]).to_dict()
        return {"entity_id": list(keys), **{name: found[f"stats__{name}"] for name in common.FEATS}}

    read = as_numpy if numpy else as_dict
    # The driver bears this file's name, so it is loaded by its place.
    spec = importlib.util.spec_from_file_location("peers", Path(str(common.__file__)).with_name(Path(__file__).name))
    assert spec is not None
    assert spec.loader is not None
    peers = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(peers)
    common.result(check=peers.checksum(as_dict), **peers.measure(read, round_))


if __name__ == "__main__":
    main()
