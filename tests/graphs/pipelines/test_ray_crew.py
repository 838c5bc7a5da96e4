"""The same pipelines as Ray tasks: values, items, conditions, retries, errors, secrets, lost workers."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from eagleray import Pipeline, PipelineRun, Retries, Secret, function, log_metric
from eagleray.functions.runs.tracking import run_store
from eagleray.graphs.pipelines.ray_crew import assembled
from eagleray.runtime import secret_store
from eagleray.runtime.settings import Settings

pytestmark = pytest.mark.filterwarnings(
    "ignore::sqlalchemy.exc.SADeprecationWarning",  # MLflow's models use a loader SQLAlchemy 2.1 deprecates
    "ignore::DeprecationWarning:mlflow",
)


def ran(p: Pipeline, settings: Settings, **words: Any) -> PipelineRun:
    return p.run(on="ray", settings=settings, track=False, **words)


def test_arguments_are_put_together_on_the_worker() -> None:
    flat = ({"a": [1, 2]}, 5)
    plan = (
        "made",
        tuple,
        [("at", 0, ("a", 1), "x"), ("at", 1, (), ""), ("in", ("made", list, [("at", 1, (), "")]), (0,), "y")],
    )
    assert assembled(plan, flat) == (2, 5, 5)


def test_the_same_pipeline_gives_the_same_values(ray_cluster: Settings, settings: Settings) -> None:
    def load(days: int) -> dict[str, Any]:
        return {"parts": list(range(days)), "frame": pl.DataFrame({"a": [1, 2]})}

    def where() -> int:
        return os.getpid()

    @function(cpus=0.5)
    def fit(part: int, frame: pl.DataFrame) -> pl.DataFrame:
        return frame.with_columns(part=part)

    def total(parts: list[pl.DataFrame], first: pl.DataFrame, named: dict[str, int]) -> int:
        return int(pl.concat(parts)["part"].sum()) + first.height + named["days"]

    async def later(x: int) -> bool:
        return x > 3

    p = Pipeline("both")
    days = p.parameter("days", 3)
    data = p.step(load, days)
    parts = p.map(fit, data["frame"], over=data["parts"], cache=True)
    again = p.map(fit, over=[1], frame=parts[1], name="again")
    score = p.step(total, parts, again[0], {"days": days})
    yes = p.when(lambda x: x > 3, score, name="big")
    p.step(later, score, when=yes)
    p.step(later, score, when=~yes, name="never")
    p.step(where)
    there, here = ran(p, settings), p.run(settings=settings, track=False)
    assert there["where"].value != here["where"].value == os.getpid()
    assert there.record.workers == "ray"
    for run in (there, here):
        assert (run["total"].value, run["later"].value, run["never"].status) == (11, True, "SKIPPED")
        assert [frame["part"].to_list() for frame in run["fit"].value] == [[0, 0], [1, 1], [2, 2]]
    assert [here[f"fit[{place}]"].status for place in range(3)] == ["CACHED"] * 3, "computed there, found here"


def test_an_error_shows_the_users_frame_and_the_run_is_resumed_here(
    ray_cluster: Settings, settings: Settings, tmp_path: Path
) -> None:
    def load() -> int:
        return 1

    def train(x: int, marker: str) -> int:
        if not Path(marker).exists():
            raise KeyError("no luck")
        return x + 1

    marker = tmp_path / "mended"
    p = Pipeline("fails")
    p.step(train, p.step(load), str(marker))
    with pytest.raises(KeyError, match="no luck") as caught:
        ran(p, settings)
    assert "in step 'train'" in caught.value.__notes__[0]
    told = str(caught.value.__cause__)
    assert told.startswith("on a worker (pid=")
    assert told.splitlines()[2].strip().startswith(f'File "{__file__}"'), told
    marker.touch()
    run = p.resume(on="here", settings=settings, track=False)
    assert (run["train"].value, run.record.workers) == (2, "here")


def test_a_step_is_tracked_where_it_runs(
    ray_cluster: Settings, tracked: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EAGLERAY_HOME", str(tracked.home))  # where a function looks for its secrets

    @function(secrets=[Secret("pipe-token")])
    def leaky(x: int, how: str) -> int:
        print("token", os.environ["PIPE_TOKEN"])
        log_metric("seen", x)
        if how == "raise":
            raise ValueError("token " + os.environ["PIPE_TOKEN"])
        return x

    value = "hush-" + "on-ray"
    secret_store.put(tracked.home, "pipe-token", value)
    p = Pipeline("tracked-on-ray")
    p.map(leaky, p.parameter("how", "fine"), over=[3, 4])
    run = p.run(on="ray", settings=tracked)
    children = {one.name: one for one in run_store(tracked).find(parent=run.record.tracked)}
    assert {name: one.metrics for name, one in children.items()} == {
        "leaky[0]": {"seen": 3.0},
        "leaky[1]": {"seen": 4.0},
    }
    assert run_store(tracked).artifact(children["leaky[0]"].id, "log.txt") == b"token ***\n"
    with pytest.raises(ValueError, match=r"token \*\*\*"):
        p.run(on="ray", settings=tracked, how="raise")
    held = [path for path in tracked.home.rglob("*") if path.is_file() and value.encode() in path.read_bytes()]
    assert held == [tracked.home / "secrets" / "secrets.json"]


def test_a_step_whose_worker_is_lost_runs_again(ray_cluster: Settings, settings: Settings, tmp_path: Path) -> None:
    @function(retries=Retries(1, backoff_s=0.0))
    def dies(marker: str) -> int:
        if not Path(marker).exists():
            Path(marker).touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return 3

    def flaky(marker: str) -> int:
        if not Path(marker).exists():
            Path(marker).touch()
            raise OSError
        return 4

    p = Pipeline("lost")
    p.step(dies, str(tmp_path / "one"))
    p.step(flaky, str(tmp_path / "two"), retries=Retries(1, backoff_s=0.0))
    run = ran(p, settings)
    assert (run["dies"].value, run["flaky"].value) == (3, 4)


def test_many_items_cost_little(ray_cluster: Settings, settings: Settings) -> None:
    def one(x: int) -> int:
        return x

    def total(parts: list[int]) -> int:
        return sum(parts)

    p = Pipeline("many")
    p.step(total, p.map(function(cpus=0.1)(one), over=list(range(300))))
    started = time.monotonic()
    assert ran(p, settings)["total"].value == sum(range(300))
    assert time.monotonic() - started < 60


def test_nothing_here_loads_ray() -> None:
    code = (
        "import sys; from eagleray import Pipeline, Settings; from pathlib import Path; import tempfile\n"
        "p = Pipeline('light'); p.step(lambda: 1, name='one')\n"
        "p.run(track=False, settings=Settings(home=Path(tempfile.mkdtemp())))\n"
        "assert not {'ray', 'mlflow', 'redis', 'polars', 'pandas'} & set(sys.modules), set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
