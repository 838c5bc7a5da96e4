"""Reading windows online: 100 keys x 3 windows x 4 aggregates, against one MGET of the same bytes.

    python benchmarks/windowed_read.py [--json] [--calls 300]

Runs on the embedded server in a home of its own. The floor is redis-py's MGET of the same keys, nothing decoded.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl

from eagleray import Aggregate, Entity, FeatureSet, FeatureStore, FeatureVector
from eagleray.featurestore.online.requests import Requests
from eagleray.runtime.settings import Settings

KEYS, ASKED = 1_000, 100
WEEK_US = 7 * 86_400_000_000


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--calls", type=int, default=300)
    parser.add_argument("--events", type=int, nargs="*", default=[5, 50, 200], help="events a key in the week")
    given = parser.parse_args()
    rows = []
    for events in given.events:
        with tempfile.TemporaryDirectory() as home, FeatureStore(Settings(home=Path(home))) as store:
            rows.append(measured(store, events, given.calls))
    if given.json:
        print(json.dumps(rows))
        return
    for row in rows:
        print(
            f"{row['events_a_key']:4} events a key, {row['kb_a_key']:5.1f} KB a key: read {row['read_us']:7.0f} us, "
            f"MGET {row['mget_us']:7.0f} us, ratio {row['ratio']:.2f}"
        )


def measured(store: FeatureStore, events: int, calls: int) -> dict[str, float]:
    """Loads a week of events and times both ways of reading, in turn."""
    cards = FeatureSet(
        "cards",
        [Entity("card", "int64")],
        "ts",
        {"amount": "float64"},
        [Aggregate("amount", ["count", "sum", "avg", "max"], ["1h", "1d", "7d"])],
    )
    store.apply(cards)
    rng = np.random.default_rng(7)
    count = KEYS * events
    now_us = time.time_ns() // 1000
    store.ingest(
        cards,
        pl.DataFrame(
            {
                "card": np.repeat(np.arange(KEYS), events),
                "ts": pl.Series(now_us - rng.integers(0, WEEK_US, count)).cast(pl.Datetime("us", "UTC")),
                "amount": np.round(rng.lognormal(3, 1, count), 2),
            }
        ),
    )
    reader = store.vector_reader(FeatureVector("v", ["cards:*"]))
    asked = [[{"card": int(key)} for key in rng.integers(0, KEYS, ASKED)] for _ in range(calls)]
    keys = {id(rows): reader._keys.of(Requests(rows, owner="benchmark")) for rows in asked}
    stored = store._client.mget(keys[id(asked[0])])
    laps: dict[str, list[float]] = {"read": [], "mget": []}
    works: dict[str, Callable[[list[dict[str, int]]], object]] = {
        "read": lambda rows: reader.read(rows),
        "mget": lambda rows: store._client.mget(keys[id(rows)]),
    }
    for rows in asked:
        for name, work in works.items():
            begin = time.perf_counter()
            work(rows)
            laps[name].append(time.perf_counter() - begin)
    read_us, mget_us = (statistics.median(laps[name]) * 1e6 for name in ("read", "mget"))
    return {
        "events_a_key": events,
        "kb_a_key": sum(len(value or b"") for value in stored) / ASKED / 1000,
        "read_us": read_us,
        "mget_us": mget_us,
        "ratio": read_us / mget_us,
    }


if __name__ == "__main__":
    main()
