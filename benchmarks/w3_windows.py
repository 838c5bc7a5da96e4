"""Windowed aggregation beside the peers' (W3): count, sum, avg and max of `amount` over 1h, 1d and 7d per card.

    python3 w3_windows.py --also eagleray_engine=PYTHON:benchmarks/w3_windows.py \
        --also eagleray_stream=PYTHON:benchmarks/w3_windows.py --also eagleray_hot=PYTHON:benchmarks/w3_windows.py

`eagleray_engine`: the worker's steps over stores in memory, 10,000 events each (a step reads, unpacks, advances, packs
and writes every key it meets). `eagleray_stream`: events pushed 1,000 at a time into the log of a Valkey server with
its append-only file on, taken to the online store and the Delta table; timed until both hold every event.
`eagleray_hot`: the same with the events of the 100 busiest cards. Pusher, worker and server share one core. Timed like
the others: data in memory, imports done. All get the events in arrival order, up to 60 s late; in the end every feature
of every card is compared with the windows' definition, evaluated over all events.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from eagleray import Aggregate, Entity, FeatureSet, FeatureStore, FeatureVector, Settings
from eagleray.featurestore.definitions.catalog import AppliedSet
from eagleray.featurestore.definitions.wanted import resolve
from eagleray.featurestore.events.log import MemoryLog
from eagleray.featurestore.offline.offline import MemoryOfflineStore
from eagleray.featurestore.online.online import MemoryOnlineStore, OnlineStore
from eagleray.featurestore.online.online_read import VectorReader
from eagleray.featurestore.streams.ingest import accept, by_partition
from eagleray.featurestore.streams.worker import Stores, Worker
from eagleray.runtime import redis_client

peers: Any = import_module("common")  # in the peers' folder, which their driver puts on the path
SPANS_US = {"1h": 3_600_000_000, "1d": 86_400_000_000, "7d": 604_800_000_000}
CARDS = FeatureSet(
    "cards",
    [Entity("card", "int64")],
    "ts",
    {"amount": "float64"},
    [Aggregate("amount", ["count", "sum", "avg", "max"], list(SPANS_US))],
)
VECTOR = FeatureVector("w3", ["cards:*"], event_time="at")
EVENTS = {"eagleray_engine": 1_000_000, "eagleray_stream": 300_000, "eagleray_hot": 300_000}
ROWS_A_PUSH = 1_000
ROWS_A_STEP = 10_000
SAVE_AT = 50_000


def events(count: int, *, hot: int | None = None) -> pl.DataFrame:
    """The first events in arrival order; `hot`: of the busiest cards only."""
    frame = pl.read_parquet(peers.data_path("events"))
    if hot is not None:
        frame = frame.filter(pl.col("card").is_in(frame["card"].value_counts(sort=True)["card"].head(hot).implode()))
    return frame.head(count)


def wrong(online: OnlineStore, applied: AppliedSet, given: pl.DataFrame) -> int:
    """Values of all cards, just after their newest event, that are not what the definition says."""
    layout = {feature.name: feature.window for feature in applied.layout.windowed}
    newest = given.group_by("card").agg((pl.col("ts").max().dt.epoch("us") + 1).alias("at")).sort("card")
    reader = VectorReader(VECTOR, resolve(VECTOR, lambda _: applied), online)
    found = reader.get(newest.to_dict(as_series=False)).to_polars()
    amount, differing = pl.col("amount"), 0
    rows = given.with_columns(pl.col("ts").dt.epoch("us")).join(newest, on="card")
    for name in SPANS_US:
        window = layout[f"amount_sum_{name}"]
        grain = window.granularity_us
        inside = rows.filter(pl.col("ts") >= (pl.col("at") - window.length_us) // grain * grain)
        exact = inside.group_by("card").agg(
            count=pl.len().cast(pl.Int64), sum=amount.sum(), avg=amount.mean(), max=amount.max()
        )
        wanted = newest.join(exact, on="card", how="left", maintain_order="left")
        for function in ("count", "sum", "avg", "max"):
            ours = found[f"cards__amount_{function}_{name}"].cast(pl.Float64).to_numpy()
            theirs = wanted[function].cast(pl.Float64).to_numpy()
            differing += int((~np.isclose(ours, theirs, rtol=1e-9, atol=0, equal_nan=True)).sum())
    return differing


def report(given: pl.DataFrame, wall_s: float, rss_mb: float, **more: float) -> None:
    peers.result(
        events=given.height,
        wall_s=wall_s,
        events_s=given.height / wall_s,
        keys=given["card"].n_unique(),
        rss_growth_mb=peers.rss_mb() - rss_mb,
        peak_mb=peers.peak_mb(),
        **more,
    )


def engine(count: int) -> None:
    """Worker steps over memory."""
    given = events(count)
    stores = Stores(online=MemoryOnlineStore(), offline=MemoryOfflineStore(), log=MemoryLog(4))
    body = CARDS.definition()
    applied = AppliedSet.of_document("w3", "cards", version=1, content_hash=CARDS.content_hash(), body=body)
    worker = Worker(CARDS, applied, stores)
    rss_mb, began, stepping_s = peers.rss_mb(), time.perf_counter(), 0.0
    for first in range(0, count, ROWS_A_STEP):
        accepted = accept(CARDS, given[first : first + ROWS_A_STEP], now_us=2**60)
        stores.log.append(by_partition(CARDS, accepted.frame, 4))
        begin = time.perf_counter()
        worker.drain()
        stepping_s += time.perf_counter() - begin
        if worker.unsaved_events > SAVE_AT:
            worker.save()
    worker.save()
    wall_s = time.perf_counter() - began
    keys = [applied.online_key(f"card=i{card}") for card in given["card"].unique().to_list()]
    stored = sum(len(value or b"") for value in stores.online.read(keys))
    report(given, wall_s, rss_mb, steps_events_s=count / stepping_s, bytes_a_key=stored / len(keys),
           values_wrong=wrong(stores.online, applied, given))  # fmt: skip


def stream(count: int, *, hot: int | None = None) -> None:
    """Push to both stores, on one core."""
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    given = events(count, hot=hot)
    with tempfile.TemporaryDirectory(prefix="er-w3-") as folder:
        settings = Settings(home=Path(folder))
        with FeatureStore(settings) as store, redis_client.connect(settings) as client:
            applied = store.apply(CARDS)
            with store.stream(CARDS):
                pass  # servers and connections are up, code is loaded
            rss_mb, before = peers.rss_mb(), int(client.info("memory")["used_memory"])
            began = time.perf_counter()
            with store.stream(CARDS):
                for first in range(0, given.height, ROWS_A_PUSH):
                    store.push(CARDS, given[first : first + ROWS_A_PUSH], patience_s=60)
            wall_s = time.perf_counter() - began
            bytes_a_key = (int(client.info("memory")["used_memory"]) - before) / given["card"].n_unique()
            offline = store._offline.read(applied.full_name, ["card"]).height
            report(given, wall_s, rss_mb, server_bytes_a_key=bytes_a_key, offline_missing=given.height - offline,
                   values_wrong=wrong(store._online, applied, given))  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--contender", choices=list(EVENTS), required=True)
    parser.add_argument("--events", type=int)
    parser.add_argument("--round", type=int)
    given = parser.parse_args()
    count = given.events or EVENTS[given.contender]
    if given.contender == "eagleray_engine":
        engine(count)
    else:
        stream(count, hot=100 if given.contender == "eagleray_hot" else None)


if __name__ == "__main__":
    main()
