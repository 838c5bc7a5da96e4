"""Cached steps: the same code and inputs are not computed twice, other code or inputs are."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from eagleray import Pipeline
from eagleray.graphs.pipelines.contents import Contents
from eagleray.runtime.settings import Settings

HELPERS = "RATE = 2\ndef scaled(x):\n    return x * RATE\n"
FLOW = """
import json, sys
from pathlib import Path
from eagleray import Pipeline, Settings
from helpers_of_test import scaled

def load(days: int) -> list[int]:
    return list(range(days))

def fit(part: int) -> int:
    return scaled(part)

def total(parts: list[int], extra: int = 0) -> int:
    return sum(parts) + extra

p = Pipeline("cached")
p.step(total, p.map(fit, over=p.step(load, p.parameter("days", 3), cache=True), cache=True), cache=True)
if __name__ == "__main__":
    run = p.run(settings=Settings(home=Path(sys.argv[1])), track=False, days=int(sys.argv[2]))
    print(json.dumps({name: one.status for name, one in run.steps.items()} | {"value": run["total"].value}))
"""


def flow(folder: Path, days: int = 3) -> dict[str, Any]:
    words = [sys.executable, "flow_of_test.py", str(folder / "home"), str(days)]
    done = subprocess.run(words, capture_output=True, text=True, check=False, cwd=folder)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_a_step_is_computed_again_when_its_code_a_helper_or_an_input_changes(tmp_path: Path) -> None:
    (tmp_path / "helpers_of_test.py").write_text(HELPERS)
    script = tmp_path / "flow_of_test.py"
    script.write_text(FLOW)
    items = [f"fit[{place}]" for place in range(3)]
    first = flow(tmp_path)
    assert {first[name] for name in ("load", "total", *items)} == {"FINISHED"}
    assert first["value"] == 6
    again = flow(tmp_path)
    assert {again[name] for name in ("load", "total", *items)} == {"CACHED"}, "in another process, too"
    more = flow(tmp_path, days=4)
    assert [more[name] for name in ("load", *items, "fit[3]", "total")] == [
        "FINISHED", "CACHED", "CACHED", "CACHED", "FINISHED", "FINISHED",
    ]  # fmt: skip
    script.write_text(FLOW.replace("sum(parts)", "1000 + sum(parts)"))
    changed = flow(tmp_path)
    assert [changed[name] for name in ("load", *items, "total")] == ["CACHED"] * 4 + ["FINISHED"]
    (tmp_path / "helpers_of_test.py").write_text(HELPERS.replace("x * RATE", "x * RATE + 1"))
    helped = flow(tmp_path)
    assert [helped[name] for name in ("load", *items, "total")] == ["CACHED"] + ["FINISHED"] * 4
    (tmp_path / "helpers_of_test.py").write_text(HELPERS.replace("RATE = 2", "RATE = 5"))
    assert flow(tmp_path)["value"] == 1015


def counted(path: Path) -> int:
    """How often it was called; in a file, for what a function captures is a part of its code."""
    with path.open("a") as file:
        file.write(".")
    return path.stat().st_size


def test_equal_inputs_are_a_hit_wherever_they_come_from(settings: Settings, tmp_path: Path) -> None:
    calls = tmp_path / "calls"

    def one(seed: int) -> pl.DataFrame:
        return pl.DataFrame({"a": [1, seed % 2]})

    def rows(frame: pl.DataFrame) -> int:
        counted(calls)
        return frame.height

    for seed in (1, 3, 2):
        p = Pipeline("inputs")
        p.step(rows, p.step(one, seed), cache=True)
        assert p.run(settings=settings, track=False)["rows"].value == 2
    assert calls.read_text() == "..", "seeds 1 and 3 give the same frame"


def test_a_cached_output_that_is_gone_is_computed_again(settings: Settings, tmp_path: Path) -> None:
    calls = tmp_path / "calls"

    def load() -> dict[str, int]:
        return {"calls": counted(calls)}

    p = Pipeline("gone")
    p.step(load, cache=True)
    run = p.run(settings=settings, track=False)
    path = next(settings.home.rglob(run["load"].record.output))
    path.unlink()
    assert p.run(settings=settings, track=False)["load"].value == {"calls": 2}
    assert p.run(settings=settings, track=False)["load"].status == "CACHED"
    assert calls.read_text() == ".."


def test_a_failure_is_not_cached(settings: Settings, tmp_path: Path) -> None:
    calls = tmp_path / "calls"

    def fails() -> int:
        if counted(calls) < 3:
            raise ValueError
        return 7

    p = Pipeline("failure")
    p.step(fails, cache=True)
    for _ in range(2):
        with pytest.raises(ValueError):
            p.run(settings=settings, track=False)
    assert p.run(settings=settings, track=False)["fails"].value == 7
    assert Contents(settings).get(p.runs(settings=settings)[0]["fails"].record.output) == 7
