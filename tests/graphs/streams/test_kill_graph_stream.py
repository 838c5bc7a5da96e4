"""The small form of benchmarks/kill_graph_stream.py: real workers and a real server, killed while events come."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[3] / "benchmarks" / "kill_graph_stream.py"


@pytest.mark.parametrize("more", [(), ("--queue",)], ids=["source", "queue"])
def test_no_event_is_lost_or_counted_twice_whatever_is_killed(more: tuple[str, ...]) -> None:
    command = [sys.executable, str(SCRIPT), "--kills", "1", "--pause", "0.3", "--seed", "7", "--json", *more]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout, done.stderr
    found = json.loads(done.stdout)
    assert found["events"] > 0
    wrong = ("lost", "answered_twice", "buried_twice", "buried_wrongly", "cards_miscounted")
    assert {name: found[name] for name in wrong} == dict.fromkeys(wrong, 0)
    assert done.returncode == 0
