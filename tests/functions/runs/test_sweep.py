"""Sweeps on a real Ray and a real MLflow: every way to name settings, failures among them, one parent run."""

from __future__ import annotations

import math
import os
import signal
from pathlib import Path
from typing import Any

import pytest

import eagleray
from eagleray.functions.function import function
from eagleray.functions.runs.sweep import measured
from eagleray.functions.runs.tracking import run_store
from eagleray.runtime.errors import DefinitionError
from eagleray.runtime.settings import Settings

pytestmark = pytest.mark.filterwarnings("ignore")  # what Tune's and MLflow's own imports emit


@function(cpus=0.5)
def hill(x: float, y: float = 0.0, kind: str = "round") -> float:
    if kind == "broken":
        raise ValueError("no such hill")
    eagleray.log_metric("height", 10 - (x - 3) ** 2 - y**2)
    return (x - 3) ** 2 + y**2


def test_a_grid_with_a_failure(ray_cluster: Settings, tracked: Settings) -> None:
    found = hill.sweep({"x": [1.0, 3.0], "kind": ["round", "broken"]}, metric="height", at_once=2, settings=tracked)
    assert len(found.trials) == 4
    assert (found.best.config, found.best.measure) == ({"x": 3.0, "kind": "round"}, 10.0)
    assert [bool(one.error) for one in found.trials] == [False, False, True, True]
    assert "ValueError: no such hill" in found.trials[-1].error
    assert found.table.columns == ["x", "kind", "height", "run", "error"]
    runs = run_store(tracked)
    parent = runs.read(found.run_id)
    assert (parent.status, parent.metrics["best.height"], parent.params["best.x"]) == ("FINISHED", 10.0, "3.0")
    children = runs.find(experiment="hill", parent=found.run_id)
    assert sorted(child.status for child in children) == ["FAILED", "FAILED", "FINISHED", "FINISHED"]
    assert found.best.run_id in {child.id for child in children}


def test_ctrl_c_ends_it_and_is_heard_afterwards(ray_cluster: Settings, tracked: Settings) -> None:
    driver = os.getpid()

    @function(cpus=0.5, name="interrupts")
    def interrupts(x: float) -> float:
        if x == 1.0:
            os.kill(driver, signal.SIGINT)
        return x

    with pytest.raises(KeyboardInterrupt):
        interrupts.sweep({"x": [1.0, 2.0, 3.0, 4.0]}, at_once=1, settings=tracked)
    (parent,) = (one for one in run_store(tracked).find(experiment="interrupts") if not one.parent)
    assert parent.status == "KILLED"
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_ranges_are_drawn_from_and_settings_taken(ray_cluster: Settings) -> None:
    from eagleray.functions.runs.ray_tune_trials import tune_space

    space, samples = tune_space({"x": (0.0, 6.0), "rate": (1e-4, 1.0, "log"), "n": (1, 3), "kind": ["a", "b"]}, 7)
    assert samples == 7
    drawn = [{name: domain.sample() for name, domain in space.items()} for _ in range(200)]
    assert all(0 <= one["x"] <= 6 and 1e-4 <= one["rate"] <= 1 for one in drawn)
    assert {one["n"] for one in drawn} == {1, 2, 3}
    assert {one["kind"] for one in drawn} == {"a", "b"}
    assert sum(one["rate"] < 1e-2 for one in drawn) > 50
    assert tune_space([{"x": 1}, {"x": 2}], 7) == ({"setting": {"grid_search": [{"x": 1}, {"x": 2}]}}, 1)


def test_a_measure_that_nobody_logs(tracked: Settings) -> None:
    found = measured(hill.tracked(settings=tracked), "hight")({"x": 1.0})
    assert math.isnan(found.measure)
    assert found.error == "no number 'hight'; did you mean 'height'?"


@pytest.mark.parametrize(
    ("space", "options", "says"),
    [
        ({"z": [1]}, {}, "hill takes no 'z'"),
        ({"x": 3}, {}, r"hill.sweep: x=3; give a list of values, or a range"),
        ({"x": (3, 1)}, {}, r"x=\(3, 1\)"),
        ({"x": (0, 1, "log")}, {}, r"x=\(0, 1, 'log'\)"),
        ({"x": []}, {}, r"x=\[\]"),
        ({}, {}, "the space is empty"),
        ([], {}, "the space is empty"),
        ({"x": [1]}, {"mode": "best"}, 'give "max" or "min"'),
        ({"x": [1]}, {"samples": 0}, "give at least 1"),
        ({"x": [1]}, {"sample": 1}, "no option 'sample'; did you mean 'samples'"),
    ],
)
def test_what_is_refused(tmp_path: Path, space: Any, options: dict[str, Any], says: str) -> None:
    with pytest.raises(DefinitionError, match=says):
        hill.sweep(space, settings=Settings(home=tmp_path), **options)
