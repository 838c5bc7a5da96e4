"""Runs in this process: order, threads, copies, items, conditions, retries, errors, resuming."""

from __future__ import annotations

import asyncio
import threading
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from eagleray import Pipeline, PipelineRun, Retries, function
from eagleray.runtime.errors import DefinitionError, InputError, NotFoundError
from eagleray.runtime.settings import Settings


def ran(p: Pipeline, settings: Settings, **words: Any) -> PipelineRun:
    return p.run(settings=settings, track=False, **words)


def constant(x: int) -> int:
    return x


def test_a_run_gives_its_steps_values(settings: Settings) -> None:
    def load(days: int) -> dict[str, Any]:
        return {"parts": list(range(days)), "frame": pl.DataFrame({"a": [1, 2]})}

    def fit(part: int, frame: pl.DataFrame, *, depth: int) -> int:
        return part * depth + frame.height

    def total(parts: list[int], named: dict[str, int], pair: tuple[int, int]) -> tuple[int, dict[str, int], object]:
        return sum(parts), named, pair

    p = Pipeline("values")
    days = p.parameter("days", 3)
    data = p.step(load, days)
    parts = p.map(fit, data["frame"], over=data["parts"], depth=10)
    p.step(total, parts, {"days": days, "first": parts[0]}, (parts[-1], 7))
    run = ran(p, settings)
    assert run.status == "FINISHED"
    assert run["fit"].value == [2, 12, 22]
    assert run["total"].value == (36, {"days": 3, "first": 2}, (22, 7))
    assert run["fit[1]"].value == 12


def test_no_items_give_an_empty_list(settings: Settings) -> None:
    p = Pipeline("empty")

    def count(parts: list[int]) -> int:
        return len(parts)

    p.step(count, p.map(constant, over=p.parameter("items", [1])))
    assert ran(p, settings, items=[])["count"].value == 0
    assert ran(p, settings, items=list(np.arange(3)))["count"].value == 3
    q = Pipeline("set")
    q.map(constant, over=q.parameter("items"))
    with pytest.raises(InputError, match="constant goes over a set: over= takes a list"):
        ran(q, settings, items={1, 2})


def test_independent_steps_run_at_the_same_time(settings: Settings) -> None:
    meet = threading.Barrier(3)
    p = Pipeline("meeting")

    def left() -> int:
        return meet.wait(30)

    def item(_x: int) -> int:
        return meet.wait(30)

    p.step(left)
    p.map(item, over=[1, 2])
    run = ran(p, settings)
    assert sorted([run["left"].value, *run["item"].value]) == [0, 1, 2]


def test_a_step_that_is_alone_runs_where_the_caller_is(settings: Settings) -> None:
    p = Pipeline("thread")

    def where() -> str:
        return threading.current_thread().name

    def again(_before: str) -> str:
        return threading.current_thread().name

    p.step(again, p.step(where))
    run = ran(p, settings)
    assert (run["where"].value, run["again"].value) == ("MainThread", "MainThread")


def test_no_step_sees_what_another_does_to_its_input(settings: Settings) -> None:
    p = Pipeline("copies")

    def load() -> dict[str, list[int]]:
        return {"a": [1]}

    def spoil(data: dict[str, list[int]], items: list[int], array: np.ndarray[Any, Any]) -> int:
        data["a"].append(2)
        items.append(3)
        array += 1
        return len(data["a"]) + len(items) + int(array.sum()) - 2

    data, items, array = p.step(load), p.parameter("items", [1]), np.zeros(2)
    for name in ("one", "two", "three"):
        p.step(spoil, data, items, array, name=name)
    for _ in range(2):
        run = ran(p, settings)
        assert [run[name].value for name in ("one", "two", "three")] == [4, 4, 4]
    assert run["load"].value == {"a": [1]}


def test_coroutines_are_awaited_generators_read_and_classes_called(settings: Settings) -> None:
    async def later(x: int) -> int:
        await asyncio.sleep(0)
        return x + 1

    def spell(x: int) -> Iterator[int]:
        yield from range(x)

    @function(init={"by": 3})
    class Times:
        def __init__(self, by: int) -> None:
            self.by = by

        def predict(self, x: int) -> int:
            return x * self.by

    p = Pipeline("kinds")
    p.map(Times, over=p.step(spell, p.step(later, 2)))
    run = ran(p, settings)
    assert run["spell"].value == [0, 1, 2]
    assert run["Times"].value == [0, 3, 6]


def test_conditions_choose_and_what_depends_is_skipped(settings: Settings) -> None:
    asked: list[int] = []

    def big(x: int) -> bool:
        asked.append(x)
        return x > 10

    p = Pipeline("gates")
    x, flag = p.parameter("x"), p.parameter("flag", True)
    score = p.step(constant, x, name="score")
    better = p.when(big, score)
    deployed = p.step(constant, score, name="deploy", when=better)
    p.step(constant, deployed, name="told")
    p.step(constant, score, name="kept", when=~better)
    p.step(constant, 1, name="after", after=deployed)
    p.map(constant, over=[1, 2], name="many", when=flag)
    run = ran(p, settings, x=5, flag=False)
    assert {name: one.status for name, one in run.steps.items()} == {
        "score": "FINISHED", "big": "FINISHED", "deploy": "SKIPPED", "told": "SKIPPED", "kept": "FINISHED",
        "after": "FINISHED", "many": "SKIPPED",
    }  # fmt: skip
    assert asked == [5], "asked once, though two steps want to know"
    assert run["big"].value is False
    assert run["deploy"].about == "big said no"
    with pytest.raises(InputError, match=r"step told was skipped \(deploy was skipped\): it gave nothing"):
        _ = run["told"].value
    run = ran(p, settings, x=50)
    assert (run["deploy"].status, run["kept"].status, run["many"].value) == ("FINISHED", "SKIPPED", [1, 2])
    with pytest.raises(NotFoundError, match="no step 'deplo' has begun; did you mean 'deploy'"):
        _ = run["deplo"]


def test_an_error_names_the_step_shows_the_users_frame_and_can_be_mended(settings: Settings) -> None:
    calls: list[str] = []
    state = {"broken": True}

    def load() -> int:
        calls.append("load")
        return 1

    def train(x: int) -> int:
        calls.append("train")
        if state["broken"]:
            raise KeyError("no luck")
        return x + 1

    def beside() -> int:
        calls.append("beside")
        return 3

    def report(x: int, y: int) -> int:
        return x + y

    p = Pipeline("mended")
    p.step(report, p.step(train, p.step(load)), p.step(beside))
    with pytest.raises(KeyError, match="no luck") as caught:
        ran(p, settings)
    (run,) = p.runs(settings=settings)
    assert caught.value.__notes__ == [
        f"in step 'train' of pipeline 'mended': pipeline.resume({run.id[:8]!r}) or `eagleray pipeline resume "
        f"FILE:PIPELINE {run.id[:8]}` goes on from there"
    ]
    last = traceback.extract_tb(caught.value.__traceback__)[-1]
    assert (last.filename, last.name) == (__file__, "train")
    assert (run.status, run.record.error) == ("FAILED", "step train: KeyError: 'no luck'")
    assert run["train"].status == "FAILED"
    with pytest.raises(InputError, match="step train is FAILED: it gave nothing yet"):
        _ = run["train"].value
    state["broken"] = False
    again = run.resume(track=False)
    assert (again.id, again.status, again["report"].value) == (run.id, "FINISHED", 5)
    assert sorted(calls) == ["beside", "load", "train", "train"]
    assert run.resume(track=False).status == "FINISHED", "what has finished is left as it is"
    assert sorted(calls) == ["beside", "load", "train", "train"]


def test_items_that_have_finished_are_not_run_again(settings: Settings) -> None:
    calls: list[int] = []
    broken = {2}

    def fit(x: int) -> int:
        calls.append(x)
        if x in broken:
            raise ValueError(x)
        return x * x

    p = Pipeline("items")
    p.map(fit, over=[0, 1, 2, 3])
    with pytest.raises(ValueError, match="2"):
        ran(p, settings, at_once=1)
    assert calls == [0, 1, 2], "after a failure no further step begins"
    broken.clear()
    assert p.resume(settings=settings, track=False)["fit"].value == [0, 1, 4, 9]
    assert sorted(calls) == [0, 1, 2, 2, 3]


def test_a_changed_pipeline_is_not_resumed_and_another_run_is_named(settings: Settings) -> None:
    def fails(_x: int) -> int:
        raise ValueError

    p, q = Pipeline("changed"), Pipeline("changed")
    p.step(fails, p.step(constant, 1))
    q.step(fails, q.step(constant, 1, name="other"))
    with pytest.raises(ValueError):
        ran(p, settings)
    with pytest.raises(DefinitionError, match="its steps or their connections are not those of run"):
        q.resume(settings=settings)
    with pytest.raises(NotFoundError, match="changed: no run 'abc'"):
        p.resume("abc", settings=settings)
    with pytest.raises(NotFoundError, match="other: no run yet"):
        Pipeline("other").resume(settings=settings)
    with pytest.raises(InputError, match="its steps are not known here"):
        PipelineRun(p.runs(settings=settings)[0].id, settings).resume()


def test_retries(settings: Settings) -> None:
    left = {"any": 2, "named": 1, "other": 1}

    def flaky(name: str) -> str:
        left[name] -= 1
        if left[name] >= 0:
            raise OSError(name)
        return name

    p = Pipeline("retries")
    p.step(flaky, "any", name="any", retries=Retries(2, backoff_s=0.0))
    p.step(flaky, "named", name="named", retries=Retries(1, on=(OSError,), backoff_s=0.0))
    assert ran(p, settings)["any"].value == "any"
    q = Pipeline("no-retries")
    q.step(flaky, "other", retries=Retries(3, on=(KeyError,), backoff_s=0.0))
    with pytest.raises(OSError, match="other"):
        ran(q, settings)


def test_a_thousand_steps_cost_little(settings: Settings, tmp_path: Path) -> None:
    p = Pipeline("wide")

    def total(parts: list[int]) -> int:
        return sum(parts)

    chain = p.parameter("x", 0)
    for place in range(100):
        chain = p.step(constant, chain, name=f"chain{place}")
    p.step(total, p.map(constant, over=list(range(900))), after=chain)
    started = time.monotonic()
    run = ran(p, settings)
    assert run["total"].value == sum(range(900))
    assert time.monotonic() - started < 30
    assert len(run.steps) == 100 + 900 + 2
