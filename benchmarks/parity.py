"""Are features equal offline and online, to the bit? A million random reads: `benchmarks/parity.py --json`.

Events of three column types arrive out of order and with ties, in steps, through the log to a real Valkey server and
a Delta table. After each step random keys are asked at random moments, online and by a point-in-time join, and the two
are compared as bytes; a sample is compared with brute force over the log, too.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import polars as pl

from eagleray import Aggregate, Entity, FeatureSet, FeatureStore, FeatureVector
from eagleray.featurestore.definitions.catalog import AppliedSet
from eagleray.featurestore.state.hyperloglog import EXACT
from eagleray.runtime.settings import Settings

sys.path.insert(0, str(Path(__file__).parent.parent))
from tests.featurestore.bench import same_bits
from tests.featurestore.oracle import LoggedEvent, answer

BEGIN_US = 1_772_409_600_000_000
SECOND_US = 1_000_000
WINDOWS = ("10m", "1h", "1d")
ANY = ("count", "first", "last", "distinct", "last_3")
NUMBER = (*ANY, "sum", "avg", "min", "max", "var", "stddev", "top_2", "p50", "p99")
COLUMNS = {"amount": ("float64", NUMBER), "items": ("int64", NUMBER), "shop": ("string", ANY)}


def declared() -> FeatureSet:
    """Every aggregate over every kind of column it takes."""
    aggregates = [Aggregate(column, functions, WINDOWS) for column, (_, functions) in COLUMNS.items()]
    schema = {column: dtype for column, (dtype, _) in COLUMNS.items()}
    return FeatureSet(
        "events", [Entity("card", "int64")], "ts", schema, [*aggregates, Aggregate("*", ["count"], ["1h"])]
    )


def drawn(events: int, cards: int, seed: int) -> pl.DataFrame:
    """Events in the order of their arrival: up to ten minutes late, some at one moment, one in ten without values."""
    rng = np.random.default_rng(seed)
    seconds = np.sort(rng.integers(0, 2 * 86_400, events))
    late = np.where(rng.random(events) < 0.2, rng.integers(0, 600, events), 0)
    frame = pl.DataFrame(
        {
            "card": np.minimum(rng.zipf(1.3, events), cards),
            "ts": BEGIN_US + (seconds - late) * SECOND_US,
            "amount": np.round(rng.lognormal(3, 1, events), 2),
            "items": rng.integers(-20, 20, events),
            "shop": [f"shop {place}" for place in rng.integers(0, 40, events)],
        }
    )
    without = pl.Series(rng.random(events) < 0.1)
    return frame.with_columns(pl.when(~without).then(pl.col(name)).alias(name) for name in COLUMNS)


def against_oracle(
    applied: AppliedSet, log: pl.DataFrame, asked: pl.DataFrame, found: pl.DataFrame, checks: int, seed: int
) -> int:
    """How many of so many answers, drawn at random, differ from brute force."""
    rng = np.random.default_rng(seed)
    wrong = 0
    for place in rng.choice(asked.height, size=min(checks, asked.height), replace=False).tolist():
        feature = applied.layout.windowed[rng.integers(len(applied.layout.windowed))]
        card, q_us = asked["card"][place], asked["at"][place]
        column = "amount" if feature.column == "*" else feature.column
        mine = log.filter(pl.col("card") == card).select("ts", "_offset", column).rows()
        events = [LoggedEvent(card, ts, offset, value) for ts, offset, value in mine]
        expected = answer(events, card, q_us, feature.window, "rows" if feature.column == "*" else feature.function)
        if feature.dtype == "int64" and isinstance(expected, float):
            expected = int(expected)  # the oracle counts everything in fractions of 2**-44
        if feature.function == "distinct" and isinstance(expected, int) and expected > EXACT:
            continue  # an estimate from there on
        got = found[f"events__{feature.name}"][place]
        wrong += repr(got.to_list() if isinstance(got, pl.Series) else got) != repr(expected)
    return wrong


def measure(reads: int, *, steps: int, cards: int, seed: int) -> dict[str, object]:
    """Runs the comparison on a home of its own."""
    feature_set = declared()
    with tempfile.TemporaryDirectory() as home:
        store = FeatureStore(Settings(home=Path(home)), now_us=lambda: BEGIN_US + 10 * 86_400 * SECOND_US)
        with store:
            return _compared(store, feature_set, reads, steps=steps, cards=cards, seed=seed)


def _compared(
    store: FeatureStore, feature_set: FeatureSet, reads: int, *, steps: int, cards: int, seed: int
) -> dict[str, object]:
    applied = store.apply(feature_set)
    vector = FeatureVector("v", ["events:*"], event_time="at")
    rng = np.random.default_rng(seed)
    rows = -(-reads // (steps * len(applied.feature_types)))
    arrived = drawn(steps * 500, cards, seed).with_row_index("_offset")
    done = mismatches = oracle = wrong = 0
    began = time.perf_counter()
    for step in range(steps):
        part, log = arrived[step * 500 : (step + 1) * 500], arrived[: (step + 1) * 500]
        store.push(feature_set, part.drop("_offset"), wait=True)
        newest = dict(log.group_by("card").agg(pl.col("ts").max()).iter_rows())
        keys = rng.integers(1, cards + 5, rows).tolist()
        ahead = (rng.exponential(2 * 3600, rows) * SECOND_US).astype(np.int64).tolist()
        # Serving answers for moments after the newest event of a key.
        asked = pl.DataFrame(
            {"card": keys, "at": [newest.get(k, BEGIN_US) + 1 + more for k, more in zip(keys, ahead, strict=True)]}
        )
        online = store.get_online_features(vector, asked.to_dicts()).to_polars()
        labels = asked.with_columns(pl.col("at").cast(pl.Datetime("us", "UTC")))
        training = store.get_historical_features(vector, labels)
        offline = training.frame.select(training.feature_names)
        done += online.height * online.width
        if not same_bits(online, offline):
            mismatches += sum(not same_bits(online.select(n), offline.select(n)) for n in online.columns)
        oracle += min(40, rows)
        wrong += against_oracle(applied, log, asked, online, 40, seed + step)
    return {
        "reads": done,
        "mismatches": mismatches,
        "compared_with_brute_force": oracle,
        "wrong": wrong,
        "events": arrived.height,
        "features": len(applied.feature_types),
        "seconds": round(time.perf_counter() - began, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--reads", type=int, default=1_000_000)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--cards", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    found = measure(options.reads, steps=options.steps, cards=options.cards, seed=options.seed)
    print(json.dumps(found, indent=1) if options.json else "\n".join(f"{k}: {v}" for k, v in found.items()))
    sys.exit(1 if found["mismatches"] or found["wrong"] else 0)


if __name__ == "__main__":
    main()
