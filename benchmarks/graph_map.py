"""What `graph.map` costs beside the same work written by hand with `map_batches`: ratios of one run.

    python benchmarks/graph_map.py --json

`score`: a function of tables, then 300 trees of depth 6 over ten columns. `enrich`: three features of each row's card
out of the store, then the trees. Both sides read the same Parquet files with one worker and the same batch size, in
turn on one warm Ray; what is told is rows a second, the best of the rounds, and ours over theirs.
`worker_ratio` is the same for the batches of one worker alone, without Ray around it.
"""

from __future__ import annotations

import argparse
import json
import logging
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cloudpickle
import numpy as np
import polars as pl
import pyarrow as pa
import ray.data
import xgboost

from eagleray import Aggregate, Entity, FeatureSet, FeatureStore, FeatureVector, Graph, Settings
from eagleray.graphs.serving.ray_map import Work, Worker
from eagleray.runtime import ray_cluster

BATCH_ROWS, CARDS, FEATURES = 4096, 10_000, tuple(f"f{place}" for place in range(10))
PAYMENTS = FeatureSet(
    "payments",
    [Entity("card", "int64")],
    "ts",
    {"amount": "float64"},
    [Aggregate("amount", ["count", "sum", "max"], ["1d"])],
)
VECTOR = FeatureVector("cards", ["payments:*"], event_time="at")
BEGIN_US = 1_735_689_600_000_000


@dataclass(frozen=True)
class Trees:
    """A booster and the names of its features."""

    features: tuple[str, ...]
    raw: bytes

    def booster(self) -> xgboost.Booster:
        made = self.__dict__.get("made")
        if made is None:
            made = xgboost.Booster({"nthread": 1})
            made.load_model(bytearray(self.raw))
            self.__dict__["made"] = made
        return made

    def predict(self, rows: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        return np.asarray(self.booster().inplace_predict(rows), dtype=np.float64)

    def explain(self, rows: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        return np.asarray(self.booster().predict(xgboost.DMatrix(rows), pred_contribs=True))

    def __reduce__(self) -> tuple[type[Trees], tuple[tuple[str, ...], bytes]]:
        return Trees, (self.features, self.raw)


def trained(features: tuple[str, ...]) -> Trees:
    draw = np.random.default_rng(0)
    rows = draw.normal(size=(5_000, len(features)))
    labels = (rows.sum(axis=1) + draw.normal(size=5_000) > 0).astype(float)
    settings = {"max_depth": 6, "objective": "binary:logistic", "nthread": 2}
    return Trees(features, bytes(xgboost.train(settings, xgboost.DMatrix(rows, labels), 300).save_raw()))


def changed(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.with_columns(f0=pl.col("f0").clip(-2, 2) + pl.col("f1") * 0.5)


class ScoreByHand:
    def __init__(self, model: Trees) -> None:
        self.model = model
        model.booster()

    def __call__(self, table: pa.Table) -> pa.Table:
        frame = changed(pl.DataFrame(pl.from_arrow(table)))
        scores = self.model.predict(frame.select(FEATURES).to_numpy())
        return pa.table(
            {"id": frame["id"].cast(pl.String).to_arrow(), "score": scores, "card": frame["card"].to_arrow()}
        )


class EnrichByHand:
    def __init__(self, model: Trees, settings: Settings) -> None:
        self.model = model
        self.reader = FeatureStore(settings).vector_reader(VECTOR)

    def __call__(self, table: pa.Table) -> pa.Table:
        frame = pl.DataFrame(pl.from_arrow(table))
        rows = self.reader.read({"card": frame["card"].to_list(), "at": frame["at"].to_list()})
        scores = self.model.predict(rows)
        return pa.table(
            {"id": frame["id"].cast(pl.String).to_arrow(), "score": scores, "card": frame["card"].to_arrow()}
        )


def by_hand(worker: type, path: Path, *given: object) -> int:
    made = ray.data.read_parquet(str(path)).map_batches(
        worker,
        batch_size=BATCH_ROWS,
        batch_format="pyarrow",
        compute=ray.data.ActorPoolStrategy(size=1),
        fn_constructor_args=given,
        num_cpus=1,
    )
    return int(made.materialize().count())


def by_graph(graph: Graph, path: Path, settings: Settings) -> int:
    return int(graph.map(path, settings=settings, batch_rows=BATCH_ROWS, workers=1).materialize().count())


def worker_ratio(graph: Graph, settings: Settings, hand: Callable[[pa.Table], pa.Table], frame: pl.DataFrame) -> float:
    """By-hand time over ours for the same batches in this process: what the graph itself costs, without Ray."""
    tables = [piece.to_arrow() for piece in frame[: 16 * BATCH_ROWS].iter_slices(BATCH_ROWS)]
    work = Work(graph.name, graph.steps, None, settings)
    ours = Worker(cloudpickle.dumps(work), "raise")
    took: dict[str, list[float]] = {"graph": [], "hand": []}
    for _ in range(7):
        for name, call in (("graph", ours), ("hand", hand)):
            began = time.perf_counter()
            for table in tables:
                call(table)
            took[name].append(time.perf_counter() - began)
    return min(took["hand"]) / min(took["graph"])


def compared(ours: Callable[[], int], theirs: Callable[[], int], *, rows: int, rounds: int) -> dict[str, float]:
    """Seconds of each in turn."""
    took: dict[str, list[float]] = {"graph": [], "by_hand": []}
    for number in range(rounds + 1):
        for name, work in (("graph", ours), ("by_hand", theirs)):
            began = time.perf_counter()
            assert work() == rows
            if number:  # the first of each warms files and workers' imports
                took[name].append(time.perf_counter() - began)
    best = {f"{name}_rows_s": round(rows / min(each)) for name, each in took.items()}
    pairs = sorted(theirs_s / ours_s for ours_s, theirs_s in zip(took["graph"], took["by_hand"], strict=True))
    return {**best, "ratio": best["graph_rows_s"] / best["by_hand_rows_s"], "median_ratio": pairs[len(pairs) // 2]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    draw, count = np.random.default_rng(1), arguments.rows
    with tempfile.TemporaryDirectory() as home:
        settings = Settings(home=Path(home))
        frame = pl.DataFrame(
            {
                "id": range(count),
                "card": draw.integers(0, CARDS, count),
                "at": np.full(count, BEGIN_US + 3_600_000_000),
                **{name: draw.normal(size=count) for name in FEATURES},
            }
        )
        rows = Path(home) / "rows"
        rows.mkdir()
        for place in range(4):
            frame[place * count // 4 : (place + 1) * count // 4].write_parquet(rows / f"{place}.parquet")
        with FeatureStore(settings) as store:
            store.apply(PAYMENTS)
            history = {"card": range(CARDS), "ts": [BEGIN_US] * CARDS, "amount": draw.lognormal(3, 1, CARDS)}
            store.ingest(PAYMENTS, pl.DataFrame(history))
            names = store.vector_reader(VECTOR).names
            ray_cluster.connect(settings)
            trees, narrow = trained(FEATURES), trained(names)
            score, enrich = Graph("score"), Graph("enrich")
            score.to(changed).to(score.predict(trees)).respond("card")
            enrich.to(enrich.enrich(VECTOR)).to(enrich.predict(narrow)).respond("card")
            rounds = arguments.rounds
            context = ray.data.DataContext.get_current()
            context.enable_progress_bars = False
            logging.getLogger("ray.data").setLevel(logging.WARNING)
            alone = {
                "score": worker_ratio(score, settings, ScoreByHand(trees), frame),
                "enrich": worker_ratio(enrich, settings, EnrichByHand(narrow, settings), frame),
            }
            found = {
                "rows": count,
                "worker_ratio": alone,
                "score": compared(
                    lambda: by_graph(score, rows, settings),
                    lambda: by_hand(ScoreByHand, rows, trees),
                    rows=count,
                    rounds=rounds,
                ),
                "enrich": compared(
                    lambda: by_graph(enrich, rows, settings),
                    lambda: by_hand(EnrichByHand, rows, narrow, settings),
                    rows=count,
                    rounds=rounds,
                ),
            }
        ray_cluster.stop()
    print(json.dumps(found) if arguments.json else json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
