"""The small form of benchmarks/automl.py: one table, one seed, both searches."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "automl.py"


def test_both_are_searched_and_judged_on_rows_they_have_not_seen() -> None:
    command = [sys.executable, str(SCRIPT), "--json", "--small", "--seeds", "1", "--table-s", "3"]
    done = subprocess.run(
        [*command, "--only", "tables", "--only", "memory"], check=True, capture_output=True, text=True, timeout=150
    )
    found = json.loads(done.stdout)
    (table,) = (one for name, one in found["tables"].items() if name == "breast_cancer")
    assert table["eagleray"][0] > 0.9
    assert table["flaml"][0] > 0.9
    assert abs(table["better by"] - (table["eagleray"][0] - table["flaml"][0])) < 2e-4  # the scores are rounded
    assert found["memory"]["fold MB"] == 4
    assert found["memory"]["workers"] >= 1
    assert found["memory"]["largest PSS MB"] > 0
