"""The small form of benchmarks/kill_stream.py: real workers and a real server, killed while events stream."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "kill_stream.py"


def test_nothing_is_lost_or_counted_twice_whatever_is_killed() -> None:
    command = [sys.executable, str(SCRIPT), "--kills", "3", "--pause", "0.5", "--seed", "7", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout, done.stderr
    found = json.loads(done.stdout)
    assert found["events"] > 0
    wrong = ("online_values_that_differ", "offline_lost", "offline_twice", "offline_foreign", "dead_letters")
    assert {name: found[name] for name in wrong} == dict.fromkeys(wrong, 0)
    assert done.returncode == 0
