"""Small real parts for graphs: a vector with its reader in the process, a linear model, a tap that remembers."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from eagleray.graphs.flows.away import Call, away_stages, cut
from eagleray.graphs.flows.compile import compiled, resolved
from eagleray.graphs.flows.outside import Outside
from eagleray.graphs.graph import Graph
from eagleray.graphs.serving.part import PartApp
from eagleray.runtime.errors import InputError

Floats = NDArray[np.float64]


@dataclass
class TableReader:
    """Features of cards from a dict."""

    names: tuple[str, ...]
    table: Mapping[str, Sequence[float]]
    reads: list[int] = field(default_factory=list)

    def read(self, rows: Sequence[Mapping[str, object]]) -> Floats:
        self.reads.append(len(rows))
        out = np.full((len(rows), len(self.names)), np.nan)
        for place, row in enumerate(rows):
            if "card_id" not in row:
                raise InputError("cards: the request lacks 'card_id' (string)")
            amount = row.get("amount")
            if not isinstance(amount, int | float):
                raise InputError(f"cards: 'amount' must be float64, got {amount!r}")
            out[place, 0] = amount
            out[place, 1:] = self.table.get(str(row["card_id"]), np.nan)
        return out

    def moment_us(self, row: Mapping[str, object]) -> int:
        return time.time_ns() // 1_000


@dataclass(frozen=True)
class TableVector:
    """A vector that opens its own reader, so that no store is needed."""

    name: str = "cards"
    names: tuple[str, ...] = ("amount", "cards__count_1d", "cards__sum_1d")
    request: Mapping[str, str] = field(default_factory=lambda: {"amount": "float64"})
    reads: list[int] = field(default_factory=list, compare=False, repr=False)

    def open_reader(self) -> TableReader:
        return TableReader(self.names, {"7": (2.0, 10.0), "8": (0.0, 0.0)}, self.reads)


@dataclass(frozen=True)
class LinearModel:
    """Scores are the logistic of a weighted sum; NaN counts as zero."""

    features: tuple[str, ...] = ("amount", "cards__count_1d", "cards__sum_1d")
    weights: tuple[float, ...] = (0.01, 0.5, -0.1)
    base: float = -1.0
    name: str = "linear"
    version: str = "1"

    def explain(self, rows: Floats) -> Floats:
        parts = np.nan_to_num(rows) * np.asarray(self.weights)
        return np.column_stack([parts, np.full(len(rows), self.base)])

    def predict(self, rows: Floats) -> Floats:
        score: Floats = 1 / (1 + np.exp(-self.explain(rows).sum(axis=1)))
        return score


class ListTap:
    """Remembers what was put."""

    def __init__(self) -> None:
        self.taken: list[tuple[str, list[float], float, int]] = []

    def put(self, request_id: str, row: Floats, score: float, ts_us: int, reasons: Sequence[str] = ()) -> None:
        self.taken.append((request_id, row.tolist(), score, ts_us))


@dataclass(frozen=True)
class FileTap:
    """A tap source whose taps write lines to a file, so that another process can see them."""

    path: Path

    def open(self, names: tuple[str, ...]) -> FileTap:
        self.path.with_suffix(".names").write_text(json.dumps(names))
        return self

    def put(self, request_id: str, row: Floats, score: float, ts_us: int, reasons: Sequence[str] = ()) -> None:
        with self.path.open("a") as file:
            file.write(json.dumps([request_id, row.tolist(), score, ts_us]) + "\n")


def positive(body):
    """A user's check."""
    if body.get("amount", 1) <= 0:
        raise InputError("'amount' must be above 0")


def fraud_graph(name: str = "fraud", *, model: LinearModel | None = None, vector: TableVector | None = None) -> Graph:
    """check -> enrich -> predict -> respond, as the README has it."""
    g = Graph(name)
    g.to(g.check(positive)).to(g.enrich(vector or TableVector()))
    return g.to(g.predict(model or LinearModel())).respond("card_id")


class Apart:
    """A graph whose parts run in this process, asked through bytes as replicas are; remembers how often."""

    def __init__(self, graph: Graph) -> None:
        self.plan = graph.plan()
        steps = resolved(graph, None)
        pieces = cut(steps, self.plan)
        self.calls: list[str] = []
        self.apps = {name: PartApp(compiled(graph.name, inside)) for name, inside in pieces.inside.items()}
        outside = Outside(stages=away_stages(pieces.parts, {n: self._call(n) for n in self.apps}), waits=True)
        self.flow = compiled(graph.name, pieces.steps, rescue=graph.rescue, outside=outside).flow

    def _call(self, name: str) -> Call:
        async def call(asked: bytes, again: bool) -> bytes:
            self.calls.append(name)
            return await self.apps[name].answer(asked)

        return call
