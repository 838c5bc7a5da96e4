"""A pipeline's run in MLflow: one for the whole, a child a step; resumed, it is the same one."""

from __future__ import annotations

import polars as pl
import pytest

from eagleray import Pipeline, function, log_metric
from eagleray.functions.runs.run import Run
from eagleray.functions.runs.tracking import run_store
from eagleray.graphs.pipelines.call import Call
from eagleray.graphs.pipelines.child_runs import ChildRuns
from eagleray.graphs.pipelines.records import RunRecord
from eagleray.runtime.settings import Settings

pytestmark = pytest.mark.filterwarnings(
    "ignore::sqlalchemy.exc.SADeprecationWarning",  # MLflow's models use a loader SQLAlchemy 2.1 deprecates
    "ignore::DeprecationWarning:mlflow",
)


def found(settings: Settings, name: str) -> tuple[Run, dict[str, Run]]:
    """The run of the whole and its children by name, the latest of each."""
    runs = run_store(settings).find(experiment=name)
    (whole,) = [one for one in runs if not one.parent]
    assert {one.parent for one in runs if one.parent} <= {whole.id}
    return whole, {one.name: one for one in reversed(runs) if one.parent}


def test_one_run_with_a_child_a_step(tracked: Settings) -> None:
    def load(days: int) -> pl.DataFrame:
        print("loading", days)
        return pl.DataFrame({"a": range(days)})

    def fit(part: int, frame: pl.DataFrame, *more: int) -> int:
        log_metric("part", part)
        return part

    p = Pipeline("tracked-steps")
    days = p.parameter("days", 3)
    data = p.step(load, days, cache=True)
    p.map(fit, data, days, over=[5, 6])
    p.step(fit, 1, data, name="never", when=p.parameter("flag", False))
    run = p.run(settings=tracked)
    whole, children = found(tracked, "tracked-steps")
    assert run.record.tracked == whole.id
    assert (whole.status, whole.params) == ("FINISHED", {"days": "3", "flag": "false"})
    assert (whole.tags["pipeline"], whole.tags["pipeline.run"]) == ("tracked-steps", run.id)
    assert whole.metrics == {"steps.finished": 2.0, "steps.skipped": 1.0}
    assert set(children) == {"load", "fit[0]", "fit[1]"}
    assert {one.status for one in children.values()} == {"FINISHED"}
    assert run["fit[1]"].tracked == children["fit[1]"].id
    assert children["fit[1]"].metrics == {"part": 6.0}
    ref = run["load"].record.output[:8]
    assert children["fit[1]"].params == {
        "item": "6", "frame": f"load: polars.DataFrame 3 x 1 #{ref}", "more.0": "3",
    }  # fmt: skip
    assert children["load"].tags["output"] == f"polars.DataFrame 3 x 1 #{ref}"
    assert len(children["load"].tags["code.hash"]) == 64
    assert run_store(tracked).artifact(children["load"].id, "log.txt") == b"loading 3\n"
    again = p.run(settings=tracked)
    assert again["load"].tracked == children["load"].id, "a cached step's run is the one that computed it"


def test_a_failure_and_its_resumption_are_one_run(tracked: Settings) -> None:
    state = {"broken": True}

    def train(x: int) -> int:
        if state["broken"]:
            raise KeyError("no luck")
        return x

    def load() -> int:
        return 1

    p = Pipeline("tracked-failure")
    p.step(train, p.step(load))
    with pytest.raises(KeyError):
        p.run(settings=tracked)
    whole, children = found(tracked, "tracked-failure")
    assert (whole.status, whole.tags["error"]) == ("FAILED", "step train: KeyError: 'no luck'")
    assert (children["train"].status, children["train"].tags["error"]) == ("FAILED", "KeyError: 'no luck'")
    assert __file__ in (run_store(tracked).artifact(children["train"].id, "error.txt") or b"").decode()
    state["broken"] = False
    assert p.resume(settings=tracked).status == "FINISHED"
    again, children = found(tracked, "tracked-failure")
    assert (again.id, again.status, again.tags["error"]) == (whole.id, "FINISHED", "")
    assert children["train"].status == "FINISHED"
    assert len(run_store(tracked).find(parent=whole.id)) == 3, "load once, train twice"


def test_an_interrupt_ends_all_as_killed(tracked: Settings) -> None:
    def stopped() -> None:
        raise KeyboardInterrupt

    p = Pipeline("tracked-killed")
    p.step(stopped)
    with pytest.raises(KeyboardInterrupt):
        p.run(settings=tracked)
    whole, children = found(tracked, "tracked-killed")
    assert (whole.status, children["stopped"].status) == ("KILLED", "KILLED")


def test_a_step_that_was_ended_from_outside_is_killed_with_the_whole(tracked: Settings) -> None:
    def one(x: int) -> int:
        return x

    p = Pipeline("tracked-cut")
    p.step(one, 1)
    runs = ChildRuns.opened(tracked, RunRecord("c" * 32, "tracked-cut", "shape"), inside="")
    for name, error in (("one", None), ("failed", ValueError("no luck")), ("cut", None)):
        run_id = runs.begin(Call(name, p.nodes[0]))
        if name != "cut":
            runs.end(run_id, error, about="1")
    runs.end_all("KILLED", counts={"KILLED": 1}, error="KeyboardInterrupt: ")
    whole, children = found(tracked, "tracked-cut")
    assert {name: one.status for name, one in children.items()} == {
        "one": "FINISHED", "failed": "FAILED", "cut": "KILLED",
    }  # fmt: skip
    assert (whole.status, whole.metrics) == ("KILLED", {"steps.killed": 1.0})


def test_inside_a_tracked_function_the_whole_is_a_part_of_its_run(tracked: Settings) -> None:
    def one() -> int:
        return 1

    inner = Pipeline("tracked-inner")
    inner.step(one)

    @function
    def outer() -> str:
        return inner.run(settings=tracked).record.tracked

    done = outer.tracked(settings=tracked, experiment="tracked-outer").run()
    (whole,) = [one for one in run_store(tracked).find(experiment="tracked-inner") if one.name == "tracked-inner"]
    assert (whole.id, whole.parent) == (done.value, done.id)


def test_called_as_a_function_its_run_is_that_of_the_whole(tracked: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    def one(x: int) -> int:
        return x

    monkeypatch.setenv("EAGLERAY_HOME", str(tracked.home))
    p = Pipeline("tracked-as-function")
    p.step(one, p.parameter("x", 3))
    done = p.as_function().tracked(settings=tracked).run(x=5)
    assert done.value["one"].value == 5
    whole, children = found(tracked, "tracked-as-function")
    assert (whole.id, whole.status, whole.params) == (done.id, "FINISHED", {"x": "5"})
    assert set(children) == {"one"}
    assert done.value.record.tracked == whole.id
