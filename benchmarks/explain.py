"""What a prediction and its explanation take, one row at a time, and how well explanations add up.

    python benchmarks/explain.py --json      # some minutes
    python benchmarks/explain.py --small     # a small form, to try it out

`single`: models of 300 trees of depth 6 on 40 features, a row at a time, beside the libraries' own plain calls on the
same rows in turn; `cpu` leaves out what neighbours took. `prepared`: what a model's first explanation takes, and what
it keeps in memory for the next ones. `many`: a row's time where many are explained by one call. `additivity`: the
largest gap between a row's parts and its margin. `sampled`: Shapley values over 100 background rows, of 12 features,
beside every set of features asked about (4,096 of them), on the same rows.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable
from itertools import cycle
from typing import Any

import lightgbm
import numpy as np
import xgboost

from eagleray import Model
from eagleray.functions.models import sampled_shapley
from eagleray.functions.models.model import Member
from eagleray.functions.training import lightgbm_trees, xgboost_trees
from eagleray.functions.training.learner import learner
from eagleray.functions.training.tree_factors import prepared

FEATURES, TREES, DEPTH = 40, 300, 6
FEW = 12  # features of the sampled part: so many can still be asked about exactly
Work = Callable[[Any], Any]


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--small", action="store_true", help="a small form, to try it out")
    asked = parser.parse_args()
    calls, rows, explained = (20, 200, 1) if asked.small else (2_000, 10_000, 20)
    found: dict[str, Any] = {"load at the start": round(os.getloadavg()[0], 1), "cores": os.cpu_count()}
    x, y = table(FEATURES, 2_000 if asked.small else 20_000)
    for kind in ("xgboost", "lightgbm"):
        model, own = trained(kind, x, y)
        found[kind] = {
            "prepared": preparing(kind, model),
            "single": single(model, own, x, calls=calls),
            "many": many(model, own, x[: max(10, calls // 2)]),
            "additivity": additivity(model, x[:rows]),
        }
    found["sampled"] = sampled(explained)
    found["load at the end"] = round(os.getloadavg()[0], 1)
    print(json.dumps(found, indent=None if asked.json else 1))


def table(width: int, height: int) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Rows with some nulls, and classes that depend on several features together."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(height, width)).astype(np.float32)
    margin = x[:, 0] * x[:, 1] + np.sin(2 * x[:, 2]) + x[:, 3:8].sum(axis=1) / 3
    x[rng.random(x.shape) < 0.02] = np.nan
    return x, (np.nan_to_num(margin) + rng.logistic(size=height) > 1).astype(np.float32)


def trained(kind: str, x: np.ndarray[Any, Any], y: np.ndarray[Any, Any]) -> tuple[Model, dict[str, Work]]:
    """A model of ours, and the plain calls that predict and explain with the very same trees."""
    width = x.shape[1]
    if kind == "xgboost":
        settings = {"objective": "binary:logistic", "max_depth": DEPTH, "eta": 0.05, "nthread": 2}
        booster = xgboost.train(settings, xgboost.DMatrix(x, y), TREES)
        data = bytes(booster.save_raw("ubj"))
        booster.set_param({"nthread": 1})
        own: dict[str, Work] = {
            "predict": booster.inplace_predict,
            "explain": lambda row: booster.predict(xgboost.DMatrix(row, nthread=1), pred_contribs=True),
        }
    else:
        settings = {"objective": "binary", "max_depth": DEPTH, "num_leaves": 2**DEPTH, "learning_rate": 0.05}
        made = lightgbm.train(settings | {"verbose": -1, "num_threads": 2}, lightgbm.Dataset(x, y), TREES)
        data = made.model_to_string().encode()
        own = {
            "predict": lambda row: made.predict(row, num_threads=1),
            "explain": lambda row: made.predict(row, pred_contrib=True, num_threads=1),
        }
    member = Member(kind, learner(kind).booster(data), 1.0)
    names = tuple(f"f{place}" for place in range(width))
    return Model("m", "classification", "y", names, (member,)), own


def single(model: Model, own: dict[str, Work], x: np.ndarray[Any, Any], *, calls: int) -> dict[str, Any]:
    """Milliseconds a call, ours and the library's in turn, so that both meet the same neighbours."""
    ours: dict[str, Work] = {"predict": model.predict, "explain": model.explain}
    rows = cycle([x[place : place + 1] for place in range(1_000)])
    found = {}
    for what in ("predict", "explain"):
        for _ in range(20):
            ours[what](next(rows)), own[what](next(rows))
        times: dict[str, list[tuple[float, float]]] = {"eagleray": [], "library": []}
        for _ in range(calls):
            row = next(rows)
            for who, work in (("eagleray", ours[what]), ("library", own[what])):
                start, cpu_start = time.perf_counter(), time.thread_time()
                work(row)
                cpu, wall = time.thread_time() - cpu_start, time.perf_counter() - start
                times[who].append((wall * 1000, cpu * 1000))
        found[what] = {
            who: {
                f"p{q}_{of}ms": round(float(np.percentile(took, q)), 3)
                for q in (50, 99)
                for of, took in zip(("", "cpu_"), zip(*both, strict=True), strict=True)
            }
            for who, both in times.items()
        }
    return found


def preparing(kind: str, model: Model) -> dict[str, Any]:
    """The first explanation by a booster that has predicted before, and the size of what it has prepared."""
    data, width = model.members[0].booster.data, len(model.features)
    row = np.zeros((1, width), dtype=np.float32)
    took = []
    for _ in range(5):
        booster = learner(kind).booster(data)
        booster.margins(row)
        start = time.perf_counter()
        booster.contributions(row)
        took.append((time.perf_counter() - start) * 1000)
    if kind == "xgboost":
        trees = xgboost_trees.trees(xgboost.Booster(model_file=bytearray(data)))
    else:
        trees = lightgbm_trees.trees(data.decode())
    one = prepared(trees, width=width) if trees else None
    assert one is not None, "the library explains these trees itself"
    return {"first_ms": round(float(np.median(took)), 1), "megabytes": round(one.memory_bytes / 1e6, 1)}


def many(model: Model, own: dict[str, Work], rows: np.ndarray[Any, Any]) -> dict[str, Any]:
    """Milliseconds a row where many are explained by one call: the median of five calls of each, in turn."""
    times: dict[str, list[float]] = {"eagleray": [], "library": []}
    for _ in range(5):
        for who, work in (("eagleray", model.explain), ("library", own["explain"])):
            start = time.perf_counter()
            work(rows)
            times[who].append((time.perf_counter() - start) * 1000 / len(rows))
    return {"rows": len(rows)} | {f"{who}_ms_a_row": round(float(np.median(took)), 3) for who, took in times.items()}


def additivity(model: Model, x: np.ndarray[Any, Any]) -> dict[str, Any]:
    """The largest gap over all rows."""
    gap = np.abs(model.explain(x).sum(axis=1) - model.margins(x))
    return {"rows": len(x), "largest": float(f"{gap.max():.2g}")}


def sampled(count: int) -> dict[str, Any]:
    """Time a row and the error of sampled Shapley values of the probability, against all sets of features."""
    x, y = table(FEW, 5_000)
    model, _ = trained("xgboost", x, y)
    one = sampled_shapley.SampledShapley(model, x[:100])
    rows = x[1_000 : 1_000 + count].astype(np.float64)
    start = time.perf_counter()
    found = one.explained(rows)
    took = (time.perf_counter() - start) / count
    sampled_shapley.EXACT_FEATURES = FEW
    start = time.perf_counter()
    true = one.explained(rows).parts
    exactly = (time.perf_counter() - start) / count
    off = np.abs(found.parts - true)[:, :-1]
    return {
        "rows": count,
        "ms a row": round(took * 1000, 1),
        "ms a row, exactly": round(exactly * 1000, 1),
        "mean |part|": round(float(np.abs(true[:, :-1]).mean()), 4),
        "mean error": round(float(off.mean()), 4),
        "largest error": round(float(off.max()), 4),
        "mean stated error": round(float(found.errors.mean()), 4),
        "within two stated errors": round(float(np.mean(off <= 2 * found.errors)), 3),
    }


if __name__ == "__main__":
    main()
