"""Tracked runs against a real MLflow on SQLite, in this process and on Ray: what is kept, and how runs end."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import threading
from collections.abc import Iterator

import polars as pl
import pytest

from eagleray import Secret, current_run, function, log_artifact, log_metric, log_param
from eagleray.functions.runs import current_run as module
from eagleray.functions.runs.tracked_run import TrackedRun
from eagleray.functions.runs.tracking import run_store
from eagleray.runtime.errors import DefinitionError, InputError
from eagleray.runtime.settings import Settings

pytestmark = pytest.mark.filterwarnings(
    "ignore::sqlalchemy.exc.SADeprecationWarning",  # MLflow's models use a loader SQLAlchemy 2.1 deprecates
    "ignore::DeprecationWarning:mlflow",
)


@function
def fit(depth: int, lr: float = 0.1, **more: object) -> dict[str, float]:
    print("fitting", depth)
    logging.getLogger("fit").warning("careful")
    for step in range(3):
        log_metric("auc", depth + step)
    log_param("found", "best")
    log_artifact("notes.txt", "hello")
    return {"auc": depth * lr}


def test_a_run_keeps_what_went_in_and_what_came_out(tracked: Settings) -> None:
    done = fit.tracked(settings=tracked, experiment="keeps", name="first").run(3, extra="x")
    assert done.value == {"auc": pytest.approx(0.3)}
    assert done.status == "FINISHED"
    assert done.params == {"depth": "3", "lr": "0.1", "extra": "x", "found": "best"}
    assert done.metrics == {"auc": 5.0}
    assert "fitting 3\n" in done.logs()
    assert "WARNING fit: careful" in done.logs()
    assert json.loads(done.artifact("result.json") or b"") == done.value
    assert done.artifact("notes.txt") == b"hello"
    assert len(done.tags["code.hash"]) == 64
    assert done.tags["function"].endswith(".fit")
    assert "keeps" in done._repr_html_()
    history = run_store(tracked)._client.get_metric_history(done.id, "auc")
    assert [(point.step, point.value) for point in history] == [(0, 3.0), (1, 4.0), (2, 5.0)]


def test_tables_are_kept_by_shape_columns_and_hash(tracked: Settings) -> None:
    @function
    def doubled(frame: pl.DataFrame) -> pl.DataFrame:
        return frame.select(pl.col("a") * 2)

    frame = pl.DataFrame({"a": [1, 2], "b": ["x", "y"]})
    done = doubled.tracked(settings=tracked).run(frame)
    assert str(done.params["frame"]).startswith("polars.DataFrame 2 x 2 #")
    again = doubled.tracked(settings=tracked).run(pl.concat([frame[:1], frame[1:]], rechunk=False))
    assert again.params == done.params, "the same rows in other chunks are the same table"
    assert doubled.tracked(settings=tracked).run(frame.reverse()).params != done.params
    assert pl.read_parquet(done.artifact("result.parquet") or b"")["a"].to_list() == [2, 4]
    inputs = run_store(tracked)._client.get_run(done.id).inputs
    assert inputs is not None
    (given,) = inputs.dataset_inputs
    assert given.dataset.name == "frame"
    assert json.loads(given.dataset.profile or "") == {"num_rows": 2}


def test_an_error_is_kept_and_raised_as_it_is(tracked: Settings) -> None:
    @function
    def broken(x: int) -> None:
        print("before")
        raise KeyError(f"no {x}")

    with pytest.raises(KeyError, match="no 7") as caught:
        broken.tracked(settings=tracked, experiment="broken").run(7)
    assert "runs show" in caught.value.__notes__[0]
    (kept,) = run_store(tracked).find(experiment="broken")
    assert kept.status == "FAILED"
    assert kept.tags["error"] == "KeyError: 'no 7'"
    text = (run_store(tracked).artifact(kept.id, "error.txt") or b"").decode()
    first = text.splitlines()[1]
    assert __file__ in first
    assert run_store(tracked).artifact(kept.id, "log.txt") == b"before\n"


def test_an_interrupt_ends_the_run_as_killed(tracked: Settings) -> None:
    @function
    def stopped() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stopped.tracked(settings=tracked, experiment="stopped").run()
    assert [run.status for run in run_store(tracked).find(experiment="stopped")] == ["KILLED"]


def test_wrong_arguments_and_options_make_no_run(tracked: Settings) -> None:
    with pytest.raises(TypeError, match="depth"):
        fit.tracked(settings=tracked, experiment="never").run()  # type: ignore[call-arg]
    with pytest.raises(DefinitionError, match="did you mean 'experiment'"):
        fit.tracked(experimnt="x")  # type: ignore[call-arg]
    with pytest.raises(DefinitionError, match='give "here" or "ray"'):
        fit.tracked(on="moon")  # type: ignore[arg-type]
    assert "never" not in {run.experiment for run in run_store(tracked).find()}


def test_outside_a_run_logging_does_nothing() -> None:
    assert current_run() is None
    assert fit(2) == {"auc": 0.2}
    log_metric("auc", 1)
    log_artifact("nowhere.txt")


def test_a_metric_is_a_number(tracked: Settings) -> None:
    @function
    def wrong() -> None:
        log_metric("auc", "high")  # type: ignore[arg-type]

    with pytest.raises(InputError, match="metric 'auc' is str"):
        wrong.tracked(settings=tracked).run()


def test_coroutines_are_awaited_and_generators_read(tracked: Settings) -> None:
    @function
    async def later(x: int) -> int:
        await asyncio.sleep(0)
        log_metric("seen", x)
        return x + 1

    @function
    def count(n: int) -> Iterator[int]:
        yield from range(n)

    done: TrackedRun[object] = later.tracked(settings=tracked).run(1)  # type: ignore[assignment]
    assert (done.value, done.metrics) == (2, {"seen": 1.0})
    assert count.tracked(settings=tracked).run(3).value == [0, 1, 2]  # type: ignore[comparison-overlap]


def test_runs_side_by_side_keep_their_logs_apart(tracked: Settings) -> None:
    meet = threading.Barrier(2)

    @function
    def talk(word: str) -> None:
        meet.wait(30)
        print(word)
        log_metric(word, 1)
        meet.wait(30)

    found: dict[str, TrackedRun[None]] = {}

    def one(word: str) -> None:
        found[word] = talk.tracked(settings=tracked).run(word)

    threads = [threading.Thread(target=one, args=(word,)) for word in ("left", "right")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert {word: run.logs() for word, run in found.items()} == {"left": "left\n", "right": "right\n"}
    assert {word: set(run.metrics) for word, run in found.items()} == {"left": {"left"}, "right": {"right"}}
    assert not module._open


def test_many_points_are_written_in_few_requests(tracked: Settings) -> None:
    @function
    def long() -> None:
        for step in range(2500):
            log_metric("loss", 1 / (1 + step))

    done = long.tracked(settings=tracked).run()
    assert done.metrics["loss"] == pytest.approx(1 / 2500)
    assert len(run_store(tracked)._client.get_metric_history(done.id, "loss")) == 2500


def test_a_secret_is_there_for_the_call_and_nowhere_in_the_run(
    tracked: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    value = "s3cr3t-" + "of-this-test"
    monkeypatch.setenv("EAGLERAY_HOME", str(tracked.home))
    monkeypatch.setenv("HF_TOKEN", value)

    @function(secrets=[Secret("hf-token")])
    def leaky(x: str) -> str:
        found = os.environ["HF_TOKEN"]
        print("token", found)
        log_param("token", found)
        log_artifact("token.txt", found)
        if x == "raise":
            raise ValueError(found)
        return found

    done = leaky.tracked(settings=tracked, experiment="leaky").run(value)
    assert done.value == value
    assert done.logs() == "token ***\n"
    with pytest.raises(ValueError, match="s3cr3t"):
        leaky.tracked(settings=tracked, experiment="leaky").run("raise")
    found = [path for path in tracked.home.rglob("*") if path.is_file() and value.encode() in path.read_bytes()]
    assert found == []


def test_on_ray_it_is_a_task_with_the_same_record(ray_cluster: Settings, tracked: Settings) -> None:
    ray_fit = fit.options(cpus=0.5)
    done = ray_fit.tracked(settings=tracked, on="ray", experiment="on-ray").run(4)
    assert done.value == {"auc": pytest.approx(0.4)}
    assert done.metrics == {"auc": 6.0}
    assert "fitting 4" in done.logs()
    assert "result.json" in done.artifacts()

    @function
    def pid_or_error(x: int) -> int:
        if x < 0:
            raise ValueError("below zero")
        return os.getpid()

    on_ray = pid_or_error.tracked(settings=tracked, on="ray", experiment="on-ray-error")
    assert on_ray.run(1).value != os.getpid()
    with pytest.raises(ValueError, match="below zero"):
        on_ray.run(-1)
    assert [run.status for run in run_store(tracked).find(experiment="on-ray-error")] == ["FAILED", "FINISHED"]


def test_a_killed_worker_ends_the_run_as_failed(ray_cluster: Settings, tracked: Settings) -> None:
    @function(retries=0)
    def dies() -> None:
        os.kill(os.getpid(), 9)

    with pytest.raises(Exception, match="dies"):
        dies.tracked(settings=tracked, on="ray", experiment="dies").run()
    (kept,) = run_store(tracked).find(experiment="dies")
    assert kept.status == "FAILED"
    assert "died" in kept.tags["error"]
