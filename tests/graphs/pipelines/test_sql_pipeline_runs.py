"""The catalog's rows of runs, steps and cached outputs; who is not the driver any more cannot write."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from eagleray.graphs.pipelines.records import Cached, RunRecord, StepRecord
from eagleray.graphs.pipelines.sql_pipeline_runs import PipelineBook
from eagleray.runtime.errors import Fenced, InputError, NotFoundError


@pytest.fixture
def book(tmp_path: Path) -> PipelineBook:
    return PipelineBook(f"sqlite:///{tmp_path / 'catalog.db'}")


def record(letter: str = "a", **facts: object) -> RunRecord:
    return replace(RunRecord(letter * 32, "p", "shape", owner="here:1", started_us=ord(letter)), **facts)  # type: ignore[arg-type]


def test_runs_are_found_by_the_beginning_of_their_ids(book: PipelineBook) -> None:
    runs = [
        record("a", parameters={"x": "r"}),
        record("b", pipeline="q"),
        record("f"),
        replace(record("f"), id="fe" + "0" * 30),
    ]
    for one in runs:
        book.begin(one)
    assert book.run("a" * 32) == runs[0]
    assert book.run("b").pipeline == "q"
    assert book.run("ff") == runs[2]
    assert [one.id[:2] for one in book.runs(limit=3)][2:] == ["bb"]
    assert [one.id for one in book.runs(pipeline="q")] == ["b" * 32]
    assert book.run("last", pipeline="q").id == "b" * 32
    with pytest.raises(InputError, match="several runs begin with 'f'"):
        book.run("f")
    with pytest.raises(NotFoundError, match="q: no run 'a'"):
        book.run("a", pipeline="q")
    with pytest.raises(NotFoundError, match="r: no run yet"):
        book.run("last", pipeline="r")


def test_a_step_has_one_row_whatever_happens_to_it(book: PipelineBook) -> None:
    run = record()
    book.begin(run)
    rows = [StepRecord(run.id, f"s{place}", "RUNNING", place) for place in range(1200)]
    book.write(run, rows)
    book.write(run, [replace(one, status="FINISHED", output="x.json") for one in rows[600:]])
    found = book.steps(run.id)
    assert list(found) == [f"s{place}" for place in range(1200)]
    assert {one.status for one in found.values()} == {"RUNNING", "FINISHED"}
    assert book.step(run.id, "s700") == replace(rows[700], status="FINISHED", output="x.json")
    assert book.step(run.id, "none") is None
    long = replace(rows[0], error="x" * 5000, about="y" * 5000)
    book.write(run, [rows[1], replace(rows[1], status="FAILED"), long])
    assert book.step(run.id, "s1") == replace(rows[1], status="FAILED"), "the last word counts"
    assert len(book.steps(run.id)["s0"].error) == 2000


def test_who_was_replaced_cannot_write(book: PipelineBook) -> None:
    run = record()
    book.begin(run)
    fresh = book.take_over(run, owner="there:2", workers="ray", tracked="t")
    assert (fresh.epoch, book.run(run.id)) == (2, fresh)
    with pytest.raises(InputError, match="has just been resumed by another"):
        book.take_over(run, owner="third:3", workers="here", tracked="")
    with pytest.raises(Fenced, match="was resumed by another process"):
        book.write(run, [StepRecord(run.id, "s", "FINISHED")])
    with pytest.raises(Fenced):
        book.end(run, "FINISHED")
    assert book.steps(run.id) == {}
    book.write(fresh, [StepRecord(run.id, "s", "FINISHED")])
    assert book.end(fresh, "FAILED", error="x" * 3000) == book.run(run.id)
    assert book.run(run.id).status == "FAILED"


def test_the_latest_output_of_a_key_is_the_cached_one(book: PipelineBook) -> None:
    run = record()
    book.begin(run)
    many = [Cached(f"k{place}", f"{place}.json", "", "", 1) for place in range(1100)]
    book.write(run, [], many)
    book.write(run, [], [replace(many[3], output="new.json")])
    found = book.cached([f"k{place}" for place in range(2000)])
    assert len(found) == 1100
    assert found["k3"].output == "new.json"
    assert book.cached([]) == {}
    book.close()
