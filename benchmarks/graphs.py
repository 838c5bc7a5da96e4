"""What graphs cost: a step, three steps behind HTTP, features and a model under load. Ratios of one interleaved run.

    python benchmarks/graphs.py --json [--only steps http model] [--rounds 5] [--seconds 4] [--mlrun PYTHON]

`steps`: a graph of three functions in process, against calling them (and MLRun's mock server, with the Python that has
it). `http`: the same graph deployed, against one hand-written `@function` class, and against three deployments of plain
Ray Serve on the same server. `model`: windowed features and 300 trees of depth 6, saturated at 64 connections, alone
(`batch(max_size=1)`) and gathered, and then at half of that.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from eagleray import Aggregate, Entity, FeatureSet, FeatureStore, FeatureVector, Graph, function, session
from eagleray.graphs.flows.compile import Compiled
from eagleray.graphs.flows.event import Batch
from eagleray.runtime.settings import Settings

WEIGHTS = [((i * 7919) % 101) / 101 - 0.5 for i in range(20)]
X = [0.5] * 20
KEYS = 1_000  # as many as http_load.py asks for
Figures = dict[str, Any]


def one(body: dict[str, float]) -> dict[str, float]:
    """A step that does nearly nothing."""
    body["a"] = body["x"] + 1
    return body


def steps(rounds: int) -> Figures:
    """Microseconds of three steps: called plainly, and as a graph (the best of many short turns, in turn)."""
    graph = Graph("steps")
    for place in range(3):
        graph.to(one, name=f"s{place}")
    long = Graph("long")
    for place in range(23):
        long.to(one, name=f"s{place}")
    with Compiled.of(graph) as three, Compiled.of(long) as many:
        runs: dict[str, Callable[[], Any]] = {
            "plain_3": lambda: one(one(one({"x": 1.0}))),
            "graph_3": lambda: three.flow.run(Batch.of([{"x": 1.0}], "r")),
            "graph_23": lambda: many.flow.run(Batch.of([{"x": 1.0}], "r")),
        }
        best = dict.fromkeys(runs, math.inf)
        for _ in range(40 * rounds):
            for name, run in runs.items():
                began = time.perf_counter()
                for _ in range(300):
                    run()
                best[name] = min(best[name], (time.perf_counter() - began) / 300 * 1e6)
    return {f"{name}_us": value for name, value in best.items()} | {
        "added_a_step_us": (best["graph_23"] - best["graph_3"]) / 20 - best["plain_3"] / 3,
        "added_by_the_graph_us": best["graph_3"] - best["plain_3"],
        "added_a_step_of_three_us": (best["graph_3"] - best["plain_3"]) / 3,
    }


def ready(body: dict[str, Any]) -> dict[str, Any]:
    return {"x": [min(max(value, -10.0), 10.0) for value in body["x"]]}


def dot(body: dict[str, Any]) -> dict[str, Any]:
    return {"y": sum(a * b for a, b in zip(body["x"], WEIGHTS, strict=True))}


def squashed(body: dict[str, Any]) -> dict[str, Any]:
    return {"y": 1.0 / (1.0 + math.exp(-body["y"]))}


@function
class ByHand:
    """The three steps in one class."""

    def predict(self, x: list[float]) -> dict[str, float]:
        found: dict[str, float] = squashed(dot(ready({"x": x})))
        return found


def raw_serve() -> Any:
    """Three deployments of Ray Serve that call one another through handles."""
    from ray import serve

    plain: dict[str, Any] = {"ray_actor_options": {"num_cpus": 0}, "max_ongoing_requests": 200}

    deployment: Any = serve.deployment(**plain)

    @deployment
    class Dot:
        async def __call__(self, body: dict[str, Any]) -> dict[str, Any]:
            return dot(body)

    @deployment
    class Squashed:
        async def __call__(self, body: dict[str, Any]) -> dict[str, Any]:
            return squashed(body)

    @deployment
    class Ready:
        def __init__(self, dot: Any, squashed: Any) -> None:
            self._dot, self._squashed = dot, squashed

        async def __call__(self, request: Any) -> Any:
            return await self._squashed.remote(self._dot.remote(ready(await request.json())))

    made: Any = Ready
    first: Any = Dot
    second: Any = Squashed
    return made.bind(first.bind(), second.bind())


def http(settings: Settings, rounds: int, seconds: float, connections: int = 32) -> Figures:
    """Requests a second of the graph, the class, and three deployments, in turn."""
    from ray import serve

    graph = Graph("fused")
    graph.to(ready).to(dot).to(squashed).respond()
    by_hand: Any = ByHand
    by_hand, fused = by_hand.deploy(settings=settings), graph.deploy(settings=settings)
    serve.run(raw_serve(), name="raw", route_prefix="/raw")
    base = fused.url.rpartition("/")[0]
    urls = {"fused": fused.url, "by_hand": by_hand.url, "three_raw": f"{base}/raw"}
    body = json.dumps({"x": X})
    try:
        return compared(urls, body, rounds, seconds, connections)
    finally:
        serve.delete("raw")
        by_hand.stop()
        fused.stop()


def compared(urls: dict[str, str], body: str, rounds: int, seconds: float, connections: int) -> Figures:
    """Medians over the rounds of each, and of the ratios within a round to the second."""
    for url in urls.values():
        settled(url, body, min(seconds / 2, 1.0))
    found: list[dict[str, dict[str, float]]] = []
    for turn in range(rounds):
        order = list(urls) if turn % 2 else list(urls)[::-1]
        told = {name: load(urls[name], body, connections=connections, seconds=seconds) for name in order}
        found.append(told)
    first, second, *others = urls
    figures: Figures = {
        name: {
            what: statistics.median(one[name][what] for one in found)
            for what in ("per_s", "p50_ms", "p99_ms", "errors")
        }
        for name in urls
    }
    for other in (second, *others):
        ratios = [one[first]["per_s"] / one[other]["per_s"] for one in found]
        figures[f"{first}_by_{other}"] = {
            "median": statistics.median(ratios),
            "least": min(ratios),
            "most": max(ratios),
        }
    return figures


def load(url: str, body: str, *, connections: int, seconds: float, per_s: float = 0.0) -> dict[str, float]:
    """One load from a process of its own; see `http_load.py`."""
    script = str(Path(__file__).with_name("http_load.py"))
    command = [sys.executable, script, url, body, "--connections", str(connections), "--seconds", str(seconds)]
    done = subprocess.run([*command, "--per-s", str(per_s)], check=True, capture_output=True, text=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def settled(url: str, body: str, seconds: float) -> None:
    """Waits until the proxy knows the replica: short loads, until one goes as fast as the best so far."""
    best = 0.0
    for _ in range(8):
        got = load(url, body, connections=8, seconds=seconds)["per_s"]
        if best and got > 0.8 * best:
            return
        best = max(best, got)


def model(settings: Settings, rounds: int, seconds: float, trees: int = 300, events: int = 20_000) -> Figures:
    """Requests a second with and without gathering, and latencies at half of the most."""
    import xgboost

    with FeatureStore(settings) as store:
        vector = loaded(store, events)
        names = store.vector_reader(vector).names
        rng = np.random.default_rng(1)
        rows = rng.lognormal(1, 1, (20_000, len(names)))
        labels = rng.random(20_000) < 1 / (1 + np.exp(3 - np.log(rows[:, 0] * rows[:, 1] + rows[:, 2])))
        booster = xgboost.train(
            {"objective": "binary:logistic", "max_depth": 6, "eta": 0.05, "nthread": 2},
            xgboost.DMatrix(rows, labels, feature_names=list(names)),
            trees,
        )
        graphs = {}
        for name in ("gathered", "alone"):
            graph = Graph(name)
            enrich, predict = graph.enrich(vector), graph.predict(booster)
            if name == "alone":
                enrich, predict = enrich.batch(max_size=1), predict.batch(max_size=1)
            graphs[name] = graph.to(enrich).to(predict).respond().deploy(store=store, settings=settings)
        try:
            body = '{"card": {n}, "amount": 12.5}'
            urls = {name: end.url for name, end in graphs.items()}
            figures = compared(urls, body, rounds, seconds, 64)
            half = figures["gathered"]["per_s"] / 2
            steady = [
                load(urls["gathered"], body, connections=64, seconds=max(seconds, 2), per_s=half) for _ in range(rounds)
            ]
        finally:
            for end in graphs.values():
                end.stop()
    return figures | {
        "at_half": {
            what: statistics.median(one[what] for one in steady) for what in ("per_s", "p50_ms", "p99_ms", "errors")
        },
        "at_half_least_p99_ms": min(one["p99_ms"] for one in steady),
        "features": len(names),
        "trees": trees,
    }


def loaded(store: FeatureStore, events: int) -> FeatureVector:
    """A week of events of a thousand cards, and the vector of their windows."""
    windows = ("1h", "1d", "7d")
    cards = FeatureSet(
        "cards",
        [Entity("card", "int64")],
        "ts",
        {"amount": "float64"},
        [Aggregate("amount", ["count", "sum", "avg", "max"], windows)],
    )
    store.apply(cards)
    rng = np.random.default_rng(7)
    now_us = time.time_ns() // 1000
    frame = pl.DataFrame(
        {
            "card": rng.integers(0, KEYS, events),
            "ts": pl.Series(now_us - rng.integers(0, 7 * 86_400_000_000, events)).cast(pl.Datetime("us", "UTC")),
            "amount": np.round(rng.lognormal(3, 1, events), 2),
        }
    )
    store.ingest(cards, frame)
    refs = [f"cards:amount_{kind}_{window}" for kind in ("count", "sum", "avg", "max") for window in windows]
    return FeatureVector("cards", refs, request={"amount": "float64"})


def mlrun(python: str) -> Figures:
    """Microseconds of MLRun's mock server over three steps."""
    script = str(Path(__file__).with_name("mlrun_steps.py"))
    told = subprocess.run(
        [python, script], check=True, capture_output=True, text=True, cwd=tempfile.gettempdir()
    ).stdout
    found: Figures = json.loads(told.splitlines()[-1])
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--only", nargs="*", default=["steps", "http", "model"], choices=["steps", "http", "model"])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--trees", type=int, default=300)
    parser.add_argument("--mlrun", help="the Python of an environment with MLRun")
    given = parser.parse_args()
    found: Figures = {"load_average": os.getloadavg()[0], "cores": os.cpu_count()}
    if "steps" in given.only:
        found["steps"] = steps(given.rounds)
        if given.mlrun:
            found["steps"]["mlrun_us"] = mlrun(given.mlrun)
    if {"http", "model"} & set(given.only):
        with tempfile.TemporaryDirectory() as home:
            settings = Settings(home=Path(home))
            with session(settings, num_cpus=8):
                if "http" in given.only:
                    found["http"] = http(settings, given.rounds, given.seconds)
                if "model" in given.only:
                    found["model"] = model(settings, given.rounds, given.seconds, given.trees)
    found["load_average_after"] = os.getloadavg()[0]
    if given.json:
        print(json.dumps(found, indent=1))
        return
    for part, figures in found.items():
        print(part, json.dumps(figures) if isinstance(figures, dict) else figures)


if __name__ == "__main__":
    main()
