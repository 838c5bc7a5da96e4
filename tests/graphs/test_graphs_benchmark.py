"""The small form of benchmarks/graphs.py: a step's cost in process, then real services under a little load."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from eagleray.runtime.settings import Settings

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "graphs.py"


def loaded() -> Any:
    spec = importlib.util.spec_from_file_location("graphs_benchmark", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_call_costs_about_a_microsecond() -> None:
    command = [sys.executable, str(SCRIPT), "--json", "--only", "steps", "--rounds", "1"]
    found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)["steps"]
    assert 0 < found["plain_3_us"] < found["graph_3_us"] < found["graph_23_us"]
    assert found["added_a_step_us"] < 2  # some 0.2 when nothing else runs
    assert found["added_by_the_graph_us"] < 15  # some 2.5


def test_three_fused_steps_and_a_model_hold_under_load(serving: Settings) -> None:
    module = loaded()
    found = module.http(serving, rounds=1, seconds=1.0, connections=8)
    for name in ("fused", "by_hand", "three_raw"):
        assert found[name]["errors"] == 0
        assert found[name]["per_s"] > 0
    assert found["fused_by_by_hand"]["median"] > 0.5  # some 1 when nothing else runs
    assert found["fused_by_three_raw"]["median"] > 1.5
    found = module.model(serving, rounds=1, seconds=1.0, trees=20, events=500)
    assert found["gathered"]["errors"] == found["alone"]["errors"] == found["at_half"]["errors"] == 0
    assert found["gathered_by_alone"]["median"] > 1
    assert found["at_half"]["per_s"] > 0.6 * found["gathered"]["per_s"] / 2
