"""AutoML beside stock FLAML: the fraud protocol, tables that ship with scikit-learn, trials a minute, memory.

    python benchmarks/automl.py --json                    # everything, some eleven minutes
    python benchmarks/automl.py --only tables --small     # one part, a small form of it

`fraud`: both search on the same weeks and features for `--budget-s` seconds; then the chosen settings are fitted on
each shift's training week (see fraud.py). `tables`: both get the same rows and seconds, paired by seed, and are judged
on rows that neither has seen. `pace`: finished trials, both on the same rows. `memory`: what each worker has of its
own while the fold is shared.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import json
import logging
import os
import shutil
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import psutil

from eagleray import Settings, automl, session
from eagleray.examples.fraud import features as declared
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
from eagleray.examples.fraud.simulator import FULL, SMALL, simulate

fraud: Any = importlib.import_module("fraud")  # beside this file
PARTS = ("fraud", "tables", "pace", "memory")
TASKS = {"roc_auc": "classification", "rmse": "regression"}


def main() -> None:
    """Runs the parts asked for and prints what came out."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--only", choices=PARTS, action="append", help="a part (again for several)")
    parser.add_argument("--small", action="store_true", help="a small form, to try it out")
    parser.add_argument("--budget-s", type=float, default=100.0, help="seconds of search on the fraud data")
    parser.add_argument("--table-s", type=float, default=8.0, help="seconds of search on a table")
    parser.add_argument("--seeds", type=int, default=3, help="pairs of searches a table")
    parser.add_argument("--seed", type=int, default=0, help="of the fraud searches, and the tables' first")
    asked = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.getLogger("flaml").setLevel(logging.ERROR)
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    home = Path(tempfile.mkdtemp(prefix="automl-"))
    found: dict[str, Any] = {"load at the start": round(os.getloadavg()[0], 1), "cores": os.cpu_count()}
    try:
        with session(Settings(home)), contextlib.redirect_stdout(sys.stderr):
            for part in asked.only or PARTS:
                found[part] = globals()[f"{part}_part"](Settings(home), asked)
                found[part]["load after it"] = round(os.getloadavg()[0], 1)
    finally:
        shutil.rmtree(home, ignore_errors=True)
    print(json.dumps(found, indent=None if asked.json else 1))


def fraud_part(settings: Settings, asked: argparse.Namespace) -> dict[str, Any]:
    """Average precision and Card Precision@100 over the weekly shifts."""
    from eagleray import FeatureStore

    size, first = (SMALL, last_split(SMALL.days)) if asked.small else (FULL, HANDBOOK)
    tests = weekly_shifts(first, count=1 if asked.small else 4)
    earlier = earlier_shifts(first, count=1 if asked.small else 2)
    kept = Path(tempfile.gettempdir()) / f"eagleray-fraud-{'small' if asked.small else 'full'}.parquet"
    with FeatureStore(settings) as store:
        if not kept.exists():
            world = simulate(size)
            fraud.ingest(store, world)
            payments = world.transactions.filter(pl.col("day") >= earlier[0].train_start)
            store.get_historical_features(declared.fraud, payments).to_polars().write_parquet(kept)
        for feature_set in declared.SETS:
            store.apply(feature_set)
        names = store.vector_reader(declared.fraud).names
    table = pl.read_parquet(kept)
    rows = fraud.search_table(table, earlier)
    options = automl.AutoMLOptions(
        ignore=[name for name in table.columns if name not in (*names, "is_fraud")],
        validation_column="judges", seed=asked.seed, settings=settings, track=False,
    )  # fmt: skip
    began = time.monotonic()
    searched = automl.fit(rows, label="is_fraud", metric="average_precision", budget_s=asked.budget_s, options=options)
    ours_s = time.monotonic() - began
    ours = mean_metrics([fraud.judge(searched, table, split) for split in tests])
    theirs = flaml_on_fraud(rows, names, asked)

    def judged(split: Split) -> Metrics:
        known, asked_of = training_rows(table, split), judged_rows(table, split)
        scores = theirs["score"](known, asked_of)
        return evaluate(asked_of.with_columns(score=pl.Series(scores)))

    flaml = mean_metrics([judged(split) for split in tests])
    return {
        "eagleray": {**rounded(ours), "seconds": round(ours_s, 1), "trials": searched.leaderboard.height,
                     "best validation": round(searched.leaderboard["average_precision"][0], 4),
                     "chosen": [f"{one.learner} {one.rounds} rounds, {one.weight:.2f}" for one in searched.recipe]},
        "flaml": rounded(flaml) | {name: value for name, value in theirs.items() if name != "score"},
        "over eagleray's deadline_s": round(ours_s - asked.budget_s, 2),
    }  # fmt: skip


def flaml_on_fraud(rows: pl.DataFrame, names: Sequence[str], asked: argparse.Namespace) -> dict[str, Any]:
    """Stock FLAML on the same weeks: its default learners, judged by the same rows."""
    import pandas
    from sklearn.base import clone

    def side(frame: pl.DataFrame) -> tuple[Any, Any]:  # pandas: FLAML fills in for nulls there, and only there
        return pandas.DataFrame(matrix(frame, names), columns=list(names)), frame["is_fraud"].cast(pl.Int64).to_numpy()

    (x, y), (x_val, y_val) = (side(rows.filter(pl.col("judges") == judges)) for judges in (False, True))
    found = flaml_fit(
        x, y, X_val=x_val, y_val=y_val, task="classification", metric="ap", time_budget=asked.budget_s, seed=asked.seed
    )
    model = found["model"]

    def score(known: pl.DataFrame, asked_of: pl.DataFrame) -> Any:
        x, y = side(known)
        fitted = clone(model.model.estimator).fit(model.feature_transformer.transform(x), y)
        return fitted.predict_proba(model.feature_transformer.transform(side(asked_of)[0]))[:, 1]

    return {
        "score": score, "seconds": found["seconds"], "trials": found["trials"], "chosen": model.best_estimator,
        "best validation": round(1 - model.best_loss, 4),
    }  # fmt: skip


def flaml_fit(x: Any, y: Any, **asked: Any) -> dict[str, Any]:
    """A search by FLAML: the fitted AutoML, its seconds and its finished trials."""
    from flaml.automl.automl import AutoML

    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "trials.log"
        began, model = time.monotonic(), AutoML()  # type: ignore[no-untyped-call]
        model.fit(x, y, verbose=0, log_file_name=str(log), log_type="all", **asked)
        seconds = round(time.monotonic() - began, 1)
        lines = log.read_text().splitlines() if log.exists() else []
    return {"model": model, "seconds": seconds, "trials": sum('"record_id"' in line for line in lines)}


def tables_part(settings: Settings, asked: argparse.Namespace) -> dict[str, Any]:
    """Held-out scores of both by table and seed, the paired differences and their 95 % intervals."""
    found: dict[str, Any] = {}
    tables = dict(list(tables_by_name().items())[:1]) if asked.small else tables_by_name()
    for name, (metric, x, y) in tables.items():
        pairs = [pair(x, y, metric, asked.seed + one, settings, asked.table_s) for one in range(asked.seeds)]
        better = np.array([(a - b) if metric == "roc_auc" else (b - a) for a, b in pairs])
        half = t_quantile(len(better)) * better.std(ddof=1) / np.sqrt(len(better)) if len(better) > 1 else None
        mean = float(better.mean())
        found[name] = {
            "metric": metric, "rows": len(y), "eagleray": [round(a, 4) for a, _ in pairs],
            "flaml": [round(b, 4) for _, b in pairs], "better by": round(mean, 5),
            "95 % interval": [round(mean - half, 5), round(mean + half, 5)] if half is not None else None,
        }  # fmt: skip
    means = [one["better by"] for one in found.values()]
    worse = [name for name, one in found.items() if one["95 % interval"] and one["95 % interval"][1] < 0]
    found["summary"] = {
        "tables": len(means),
        "better or equal": sum(m >= 0 for m in means),
        "worse beyond noise": worse,
    }
    return found


def tables_by_name() -> dict[str, tuple[str, Any, Any]]:
    """Metric, features and labels."""
    from sklearn import datasets

    digits = datasets.load_digits(return_X_y=True)
    return {
        "breast_cancer": ("roc_auc", *datasets.load_breast_cancer(return_X_y=True)),
        "digits, eight or not": ("roc_auc", digits[0], (digits[1] == 8).astype(int)),
        "diabetes": ("rmse", *datasets.load_diabetes(return_X_y=True)),
        "make_classification": ("roc_auc", *datasets.make_classification(
            4000, 20, n_informative=8, n_clusters_per_class=4, flip_y=0.05, class_sep=0.7, random_state=1)),
        "make_friedman1": ("rmse", *datasets.make_friedman1(3000, 10, noise=1.0, random_state=1)),
    }  # fmt: skip


def pair(x: Any, y: Any, metric: str, seed: int, settings: Settings, budget_s: float) -> tuple[float, float]:
    """Ours and FLAML's score on a third of the rows, held out by that seed."""
    from sklearn.metrics import roc_auc_score, root_mean_squared_error
    from sklearn.model_selection import train_test_split

    stratify = y if metric == "roc_auc" else None
    known, held, y_known, y_held = train_test_split(x, y, test_size=1 / 3, random_state=seed, stratify=stratify)
    score: Callable[..., float] = roc_auc_score if metric == "roc_auc" else root_mean_squared_error
    frame = pl.DataFrame({f"x{i}": known[:, i] for i in range(known.shape[1])}).with_columns(y=pl.Series(y_known))
    options = automl.AutoMLOptions(track=False, settings=settings, seed=seed)
    ours = automl.fit(frame, label="y", metric=metric, budget_s=budget_s, options=options).model.predict(held)
    found = flaml_fit(known, y_known, task=TASKS[metric], metric=metric, time_budget=budget_s, seed=seed)["model"]
    theirs = found.predict_proba(held)[:, 1] if metric == "roc_auc" else found.predict(held)
    return float(score(y_held, ours)), float(score(y_held, theirs))


def pace_part(settings: Settings, asked: argparse.Namespace) -> dict[str, Any]:
    """Finished trials a minute on 20,000 rows x 30; FLAML one after another, and what became of its own Ray mode."""
    x, y = pace_data(2_000 if asked.small else 20_000)
    budget_s = 5.0 if asked.small else 20.0
    frame = pl.DataFrame({f"x{i}": x[:, i] for i in range(x.shape[1])}).with_columns(y=pl.Series(y))
    options = automl.AutoMLOptions(track=False, settings=settings, seed=asked.seed)
    began = time.monotonic()
    run = automl.fit(frame, label="y", metric="roc_auc", budget_s=budget_s, options=options)
    ours_s = time.monotonic() - began
    ended = run.leaderboard.filter(pl.col("status") != "failed")
    theirs = flaml_fit(x, y, time_budget=budget_s, seed=asked.seed, **PACE)
    ours, alone = ended.height / ours_s * 60, theirs["trials"] / theirs["seconds"] * 60
    found = {
        "eagleray": {"trials a minute": round(ours, 1), "best validation": round(run.leaderboard["roc_auc"][0], 4),
                     "rounds": int(ended["rounds"].sum()), "seconds": round(ours_s, 1)},
        "flaml, one after another": {"trials a minute": round(alone, 1), "seconds": theirs["seconds"],
                                     "best validation": round(1 - theirs["model"].best_loss, 4)},
        "eagleray / flaml": round(ours / max(alone, 1e-9), 2),
    }  # fmt: skip
    if not asked.small:
        found |= {f"flaml, {name}": flaml_on_ray(code, budget_s) for name, code in RAY_MODES.items()}
    return found


PACE = {
    "task": "classification", "metric": "roc_auc", "estimator_list": ["xgboost", "lgbm"], "sample": False,
    "eval_method": "holdout", "n_jobs": 1,
}  # fmt: skip
RAY_MODES: dict[str, dict[str, Any]] = {
    "use_ray=True": {"use_ray": True, "n_concurrent_trials": 2},
    "use_ray=True, hpo_method='cfo'": {"use_ray": True, "n_concurrent_trials": 2, "hpo_method": "cfo"},
}


def flaml_on_ray(how: dict[str, Any], budget_s: float) -> str:
    """What became of FLAML's own Ray mode, in a process with a Ray of its own, ended after thrice its budget."""
    program = (
        "import sys, warnings, time; warnings.simplefilter('ignore'); sys.path.insert(0, sys.argv[1])\n"
        "import ray, automl; ray.init(num_cpus=2, include_dashboard=False, logging_level='ERROR')\n"
        f"how = dict(automl.PACE, time_budget={budget_s}, seed=0, **{how!r})\n"
        "found = automl.flaml_fit(*automl.pace_data(20_000), **how)\n"
        "print('RESULT', found['trials'], 'trials in', found['seconds'], 's')\n"
    )
    here = str(Path(__file__).parent)
    child = subprocess.Popen(
        [sys.executable, "-c", program, here], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        start_new_session=True, env={k: v for k, v in os.environ.items() if not k.startswith("RAY_")},
    )  # fmt: skip
    try:
        lines, _ = child.communicate(timeout=3 * budget_s)
    except subprocess.TimeoutExpired:
        for one in [*psutil.Process(child.pid).children(recursive=True), psutil.Process(child.pid)]:
            with contextlib.suppress(psutil.NoSuchProcess):
                one.kill()
        child.communicate()
        return f"no result within {3 * budget_s:.0f} s"
    told = [line for line in lines.splitlines() if line.startswith("RESULT")] or lines.splitlines()[-1:]
    return told[-1][:200] if told else f"ended with {child.returncode}"


def pace_data(rows: int) -> tuple[Any, Any]:
    """A table of two classes."""
    from sklearn.datasets import make_classification

    found: tuple[Any, Any] = make_classification(rows, 30, n_informative=10, random_state=0)
    return found


def memory_part(settings: Settings, asked: argparse.Namespace) -> dict[str, Any]:
    """What a worker has of its own (USS) and its share (PSS), in MB, while it trains on a fold of so many MB."""
    rows, columns = (50_000, 20) if asked.small else (1_000_000, 50)
    rng = np.random.default_rng(0)
    x = rng.random((rows, columns), dtype=np.float32)
    frame = pl.DataFrame({f"x{i}": x[:, i] for i in range(columns)})
    frame = frame.with_columns(y=pl.Series(x[:, 0] + x[:, 1] + rng.normal(size=rows).astype(np.float32) > 1))
    del x
    seen: list[list[tuple[float, float]]] = []

    def look(_: object) -> None:
        workers = [p for p in psutil.Process().children(recursive=True) if "TrainerActor" in " ".join(cmdline(p))]
        full = [one.memory_full_info() for one in workers]
        seen.append([(one.uss / 1e6, one.pss / 1e6) for one in full])

    options = automl.AutoMLOptions(
        track=False, settings=settings, learners=("xgboost",), on_trial=look, ensemble_size=1, folds=0, trials=4
    )
    automl.fit(frame, label="y", metric="roc_auc", budget_s=90.0, options=options)
    largest = [max(side) for side in zip(*[one for look in seen for one in look], strict=True)]
    return {
        "fold MB": round(frame.height * columns * 4 / 1e6), "workers": max(map(len, seen)),
        "largest USS MB": round(largest[0]), "largest PSS MB": round(largest[1]),
    }  # fmt: skip


def cmdline(process: Any) -> list[str]:
    """The command line; empty for a process that has just ended."""
    try:
        return list(process.cmdline())
    except psutil.NoSuchProcess:
        return []


def t_quantile(count: int) -> float:
    """Student's t for 95 % of the mean of so many."""
    from scipy.stats import t

    return float(t.ppf(0.975, count - 1))


def matrix(frame: pl.DataFrame, names: Sequence[str]) -> Any:
    """Features as float32, NaN for null."""
    return frame.select(pl.col(name).cast(pl.Float32).fill_null(np.nan) for name in names).to_numpy()


def rounded(metrics: Metrics) -> dict[str, float]:
    """To three places."""
    return {name: round(value, 3) for name, value in asdict(metrics).items()}


if __name__ == "__main__":
    main()
