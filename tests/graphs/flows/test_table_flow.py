"""Graphs over tables: the same answers as event by event, as columns where the steps allow it."""

from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from eagleray.graphs.flows.compile import Compiled
from eagleray.graphs.flows.table_flow import TableFlow
from eagleray.graphs.graph import Graph
from eagleray.runtime.errors import DefinitionError, InputError
from eagleray.runtime.settings import Settings

from ..parts import LinearModel, TableVector, fraud_graph, positive

ROWS = pl.DataFrame(
    {
        "id": ["a", "b", "c", "d"],
        "card_id": ["7", "8", "none", "7"],
        "amount": [1.0, 2.5, None, 4.0],
        "x": [1, 2, 3, 4],
        "items": [[1, 2], [], [3], [4]],
    }
)
NUMBERS = LinearModel(features=("x", "amount"), weights=(0.5, 0.1))


def doubled(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.with_columns(x=pl.col("x") * 2)


def doubled_in_pandas(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(x=frame["x"] * 2)


def doubled_in_arrow(frame: pa.Table) -> pa.Table:
    place = frame.column_names.index("x")
    return frame.set_column(place, "x", pa.array([value * 2 for value in frame["x"].to_pylist()]))


class Shifted:
    def setup(self):
        self.by = 5

    def __call__(self, frame: "pl.DataFrame") -> "pl.DataFrame":
        return frame.with_columns(x=pl.col("x") + self.by)


async def waited(body):
    return {**body, "waited": True}


def plain(body):
    return {**body, "x": body["x"] + 1}


def none_of(body):
    return body["x"] != 2


def graphs() -> dict[str, tuple[Graph, bool]]:
    """Each with whether it runs on columns from end to end."""

    def of(*steps, respond=None):
        g = Graph("g")
        for step in steps:
            g.to(step)
        return g if respond is None else g.respond(*respond)

    g = Graph("g")
    vector = TableVector()
    enriched = g.enrich(vector, defaults={"cards__sum_1d": 3.0})
    return {
        "whole": (of(doubled), True),
        "pandas": (of(doubled_in_pandas, respond=("x",)), True),
        "arrow": (of(doubled_in_arrow, Shifted, respond=("x", "unknown")), True),
        "predict": (of(g.check(none_of, name="no-2"), doubled, g.predict(NUMBERS), respond=("x",)), True),
        "enrich": (of(g.filter(lambda b: b["amount"], name="some"), enriched, g.predict(LinearModel())), True),
        "explain": (of(g.predict(NUMBERS), g.explain()), False),
        "function": (of(doubled, respond=(lambda body: {"y": body["x"] + 1},)), False),
        "plain": (of(doubled, plain, Shifted, g.predict(NUMBERS), respond=("x",)), False),
        "async": (of(doubled, waited, g.predict(NUMBERS), respond=("waited",)), False),
        "branch": (of(doubled, g.branch(none_of, then=[Shifted], name="branch"), respond=("x",)), False),
        "state": (of(g.state(lambda s, b: (s, None), key="card_id", name="s"), doubled, respond=("x",)), False),
    }


def one_by_one(graph: Graph, rows: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], list[str]]:
    """The naive oracle."""
    answers, errors = [], []
    for row in rows:
        try:
            answer = graph.test(row)
        except Exception as error:  # noqa: BLE001 - whatever it is
            errors.append(f"{type(error).__name__}: {error}")
        else:
            answers += [] if answer is None else [answer]
    return answers, errors


@pytest.mark.parametrize("name", graphs())
def test_a_table_is_answered_as_its_rows_are(name):
    graph, is_columnar = graphs()[name]
    flow = TableFlow(Compiled.of(graph), errors="column")
    assert flow.is_columnar is is_columnar
    found = flow.run(ROWS)
    flow.close()
    expected, errors = one_by_one(graph, ROWS.to_dicts())
    good = found.filter(pl.col("error").is_null()).drop("error")
    assert len(good) == len(expected)
    for row, wanted in zip(good.to_dicts(), expected, strict=True):
        assert row.keys() == wanted.keys()
        for key in row:
            assert str(row[key]) == str(wanted[key]) if not isinstance(row[key], float) else True
            if isinstance(row[key], float):
                assert row[key] == pytest.approx(wanted[key], rel=1e-12)
    told = found.filter(pl.col("error").is_not_null())["error"].to_list()
    assert [why.partition(": ")[2] for why in told] == errors


def test_frames_come_back_as_they_went_in():
    g = Graph("g")
    g.to(doubled).to(g.predict(NUMBERS)).respond("x")
    whole = g.map(ROWS.drop("id"), batch_rows=3)
    assert whole.columns == ["score", "x"]
    assert whole["x"].to_list() == [2, 4, 6, 8]
    assert g.map(ROWS.drop("id").to_arrow()).equals(whole.to_arrow())
    in_pandas = g.map(ROWS.drop("id", "items").to_pandas())
    assert isinstance(in_pandas, pd.DataFrame)
    np.testing.assert_array_equal(in_pandas["score"], whole["score"].to_numpy())
    assert g.map(ROWS[:0]).height == 0
    with pytest.raises(InputError, match="cannot map list"):
        g.map([1, 2])


def test_lists_become_rows_and_places_named_alike_are_no_trouble():
    g = Graph("g")
    g.to(lambda body: {"items": [{"y": y, "place": 1} for y in body["items"]]}).to(g.flatten("items"))
    assert g.map(ROWS).to_dicts() == [
        {"id": "a-0", "y": 1, "place": 1},
        {"id": "a-1", "y": 2, "place": 1},
        {"id": "c-0", "y": 3, "place": 1},
        {"id": "d-0", "y": 4, "place": 1},
    ]


def test_a_failing_row_names_its_step():
    def strict(frame: pl.DataFrame) -> pl.DataFrame:
        if (frame["x"] == 3).any():
            raise ValueError("no threes")
        return frame

    g = Graph("g")
    g.to(strict).to(g.predict(NUMBERS)).respond("card_id")
    with pytest.raises(ValueError, match="no threes") as caught:
        g.map(ROWS)
    assert "in step 'strict' of 'g'" in caught.value.__notes__[0]
    found = g.map(ROWS, errors="column")
    assert found["error"].to_list() == [None, None, "strict: ValueError: no threes", None]
    assert found["card_id"].to_list() == ["7", "8", "none", "7"]
    assert found["id"].to_list() == ["a", "b", "c", "d"]
    g.on_error(lambda error, body: {"score": -1.0, "card_id": body["card_id"]})
    assert g.map(ROWS)["score"].to_list()[2] == -1.0
    fraud = fraud_graph().map(ROWS.with_columns(pl.col("amount").fill_null(-1.0)), errors="column")
    assert fraud["error"].to_list()[2] == "positive: InputError: 'amount' must be above 0"
    h = Graph("h")
    h.to(h.predict(LinearModel(features=("id",), weights=(1.0,))))
    with pytest.raises(InputError, match="'id' must be a number, got 'a'"):
        h.map(ROWS)


def test_functions_of_tables_work_on_single_events_too():
    g = Graph("g")
    g.to(doubled).to(doubled_in_pandas).to(doubled_in_arrow).to(Shifted).respond("x")
    assert [one["x"] for one in g.test([{"x": 1}, {"x": 2}])] == [13, 21]
    h = Graph("h")
    h.to(waited).to(doubled).to(h.predict(LinearModel(features=("x",), weights=(1.0,)))).respond("x")
    assert h.test({"x": 4})["x"] == 8
    with Compiled.of(Graph("k").to(Shifted).respond("x")) as compiled:
        assert compiled.flow.test({"x": 1})["x"] == 6


def test_functions_of_tables_are_declared_where_they_can_work():
    g = Graph("g")
    for wrong in (lambda: g.to(g.check(doubled)), lambda: g.to(doubled, input="x"), lambda: g.to(g.filter(doubled))):
        with pytest.raises(DefinitionError, match="takes a table"):
            wrong()
    with pytest.raises(DefinitionError, match="made 1 rows of 4"):
        Graph("h").to(one_row).map(ROWS)
    with pytest.raises(DefinitionError, match="returned int; return the table"):
        Graph("h").to(no_table).map(ROWS)
    assert g.to(positive).to(doubled).test({"x": 1}) == {"id": "test", "x": 2}


def one_row(frame: pl.DataFrame):
    return frame[:1]


def no_table(frame: pl.DataFrame):
    return 7


def test_how_a_dataset_is_mapped_is_checked():
    g = Graph("g")
    with pytest.raises(DefinitionError, match="no steps to map"):
        Graph("g").map(ROWS)
    with pytest.raises(DefinitionError, match="at least 1"):
        g.to(plain).map(ROWS, workers=0, settings=Settings.from_env())
