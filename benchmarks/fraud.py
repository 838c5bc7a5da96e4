"""The fraud handbook's protocol through the product: features from the store, models from AutoML.

    python benchmarks/fraud.py --full --json

Prints the simulator's tallies, and ROC AUC, average precision and Card Precision@100 of the single split and of
the four weekly shifts next to the published figures. The settings are searched once, for `--budget-s` seconds, on
weeks that end before the first test week begins; then each shift's model is fitted on its own training week.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from eagleray import FeatureStore, Settings, automl, session
from eagleray.examples.fraud import features as declared
from eagleray.examples.fraud.days import LABEL_DELAY
from eagleray.examples.fraud.protocol import (
    HANDBOOK,
    Metrics,
    Split,
    earlier_shifts,
    evaluate,
    judged_rows,
    last_split,
    mean_metrics,
    training_rows,
    weekly_shifts,
)
from eagleray.examples.fraud.simulator import FULL, SMALL, Simulation, simulate

# ROC AUC / average precision / Card Precision@100, as the handbook prints them.
PUBLISHED = {
    "single split": {
        "logistic": (0.871, 0.606, 0.291),
        "forest": (0.867, 0.658, 0.287),
        "xgboost": (0.862, 0.639, 0.273),
    },
    "four weekly shifts": {
        "xgboost, tuned": (0.869, 0.687, 0.303),
        "xgboost, best in hindsight": (0.872, 0.694, 0.304),
        "feed-forward net": (0.876, 0.675, 0.303),
        "balanced bagging": (0.879, 0.680, 0.305),
    },
}


def main() -> None:
    """Runs the benchmark and prints what came out."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--full", action="store_true", help="the handbook's size (else a small one, to try it out)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--budget-s", type=float, default=100.0, help="seconds of search")
    parser.add_argument("--seed", type=int, default=0, help="of the search")
    asked = parser.parse_args()
    home = Path(tempfile.mkdtemp(prefix="fraud-"))
    try:
        found = run(Settings(home), full=asked.full, budget_s=asked.budget_s, seed=asked.seed)
    finally:
        shutil.rmtree(home, ignore_errors=True)
    print(json.dumps(found, indent=1) if asked.json else told(found))


def run(settings: Settings, *, full: bool, budget_s: float, seed: int) -> dict[str, Any]:
    """Everything, as plain numbers."""
    seconds: dict[str, float] = {}
    begin = time.perf_counter()

    def lap(name: str) -> None:
        nonlocal begin
        seconds[name] = round(time.perf_counter() - begin, 1)
        begin = time.perf_counter()

    world = simulate(FULL if full else SMALL)
    lap("simulate")
    first = HANDBOOK if full else last_split(SMALL.days)
    tests = weekly_shifts(first, count=4 if full else 1)
    earlier = earlier_shifts(first, count=2 if full else 1)
    with session(settings), FeatureStore(settings) as store:
        lap("start")
        ingest(store, world)
        lap("ingest")
        payments = world.transactions.filter(pl.col("day") >= earlier[0].train_start)
        table = store.get_historical_features(declared.fraud, payments).to_polars()
        lap("features")
        names = store.vector_reader(declared.fraud).names
        options = automl.AutoMLOptions(
            ignore=[name for name in table.columns if name not in (*names, "is_fraud")],
            validation_column="judges",
            seed=seed,
            settings=settings,
            model_name="fraud",
        )
        searched = automl.fit(search_table(table, earlier), label="is_fraud", budget_s=budget_s, options=options)
        lap("search")
        results = [judge(searched, table, split) for split in tests]
        lap("fit and judge")
    return {
        "tallies": tallies(world, first),
        "trials": searched.leaderboard.height,
        "chosen": [f"{part.learner} {part.rounds} rounds {dict(part.config)}" for part in searched.recipe],
        "single split": rounded(results[0]),
        "weekly shifts": [rounded(result) for result in results],
        "mean of the weekly shifts": rounded(mean_metrics(results)),
        "published (AUC, AP, CP@100)": PUBLISHED,
        "seconds": seconds,
    }


def ingest(store: FeatureStore, world: Simulation) -> None:
    """All sources in batch; a label counts from a week after its payment."""
    for feature_set in declared.SETS:
        store.apply(feature_set)
    start, payments = world.transactions["ts"].min(), world.transactions
    store.ingest(declared.homes, world.customers.with_columns(ts=pl.lit(start)))
    store.ingest(declared.places, world.terminals.with_columns(ts=pl.lit(start)))
    store.ingest(declared.customers, payments)
    store.ingest(declared.terminals, payments)
    store.ingest(declared.risks, payments.with_columns(known_ts=pl.col("ts") + LABEL_DELAY))


def search_table(table: pl.DataFrame, earlier: Sequence[Split]) -> pl.DataFrame:
    """The training weeks of the earlier shifts, which teach, and their test weeks, which judge."""
    teach = pl.concat([training_rows(table, split) for split in earlier]).unique("transaction_id", maintain_order=True)
    judge = pl.concat([judged_rows(table, split) for split in earlier]).unique("transaction_id", maintain_order=True)
    return pl.concat([teach.with_columns(judges=pl.lit(False)), judge.with_columns(judges=pl.lit(True))])


def judge(searched: automl.AutoMLRun, table: pl.DataFrame, split: Split) -> Metrics:
    """The chosen settings, fitted on the split's training week and judged on its test week."""
    model = automl.refit(searched, training_rows(table, split))
    rows = judged_rows(table, split)
    numbers = rows.select(pl.col(name).cast(pl.Float64).fill_null(np.nan) for name in model.features)
    return evaluate(rows.with_columns(score=pl.Series(model.predict(numbers.to_numpy()))))


def tallies(world: Simulation, first: Split) -> dict[str, int]:
    """What the handbook's text states of its data."""
    payments = world.transactions
    scenarios = dict(payments.group_by("scenario").len().iter_rows())
    week, judged = training_rows(payments, first), judged_rows(payments, first)
    return {
        "transactions": payments.height,
        "frauds": int(payments["is_fraud"].sum()),
        **{f"scenario {number}": int(scenarios.get(number, 0)) for number in (1, 2, 3)},
        "training week": week.height,
        "training frauds": int(week["is_fraud"].sum()),
        "test week": judged.height,
        "test frauds": int(judged["is_fraud"].sum()),
    }


def rounded(metrics: Metrics) -> dict[str, float]:
    """To three places, as published."""
    return {name: round(value, 3) for name, value in asdict(metrics).items()}


def told(found: dict[str, Any]) -> str:
    """The findings as lines of text."""
    lines = [", ".join(f"{name} {value:,}" for name, value in found["tallies"].items())]
    lines += [f"{found['trials']} trials; chosen: {'; '.join(found['chosen'])}", ""]
    for name in ("single split", "mean of the weekly shifts"):
        lines.append(f"{name:<28} " + " / ".join(f"{value:.3f}" for value in found[name].values()))
    for kind, rows in PUBLISHED.items():
        lines += [f"  published, {kind}, {name}: " + " / ".join(map(str, row)) for name, row in rows.items()]
    return "\n".join([*lines, "", f"seconds: {found['seconds']}"])


if __name__ == "__main__":
    main()
