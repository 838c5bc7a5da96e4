"""A pipeline as a job of a Ray that stays, and at its times: submitted, scheduled, stopped, resumed from elsewhere."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from eagleray import PipelineRun, Schedule, Settings

from ...functions.lasting_shell import awaited, eagleray, program

SCRIPT = """
import threading
from pathlib import Path
from eagleray import Pipeline, function

@function(cpus=0.5)
def load(days: int, folder: str) -> list[int]:
    print("loading", days)
    return list(range(days))

@function(cpus=0.5)
def fit(part: int) -> int:
    return part * 10

@function(cpus=0.5)
def total(parts: list[int], folder: str) -> int:
    if (Path(folder) / "hold").exists():
        (Path(folder) / "held").touch()
        threading.Event().wait()
    return sum(parts)

p = Pipeline("as-job")
folder = p.parameter("folder", type=str)
data = p.step(load, p.parameter("days", 3), folder, cache=True)
p.step(total, p.map(fit, over=data), folder)
"""
SUBMITS = """
import sys
sys.path.insert(0, sys.argv[1])
from job_flow import p
job = p.submit(folder=sys.argv[1], days=4)
run = job.result(120)
print(job.id, run.id, run.status, run["total"].value)
first = p.schedule("@yearly", folder=sys.argv[1])
same = p.schedule("@yearly", folder=sys.argv[1])
print(first.name, first.entry.version, same.entry.version)
print(first.run_now().result(120)["total"].value)
"""


@pytest.fixture
def flow(tmp_path: Path) -> Path:
    (tmp_path / "job_flow.py").write_text(SCRIPT)
    return tmp_path


def test_a_pipeline_is_submitted_and_scheduled(lasting_home: Path, flow: Path) -> None:
    done = program(lasting_home, "-c", SUBMITS, str(flow))
    assert done.returncode == 0, done.stderr
    first, second, third = done.stdout.splitlines()
    job, run_id, *rest = first.split()
    assert rest == ["FINISHED", "60"]
    assert (second, third) == ("as-job 1 1", "30")
    settings = Settings(home=lasting_home)
    run = PipelineRun(run_id, settings)
    assert (run.record.workers, run["fit"].value) == ("ray", [0, 10, 20, 30])
    runs = json.loads(eagleray(lasting_home, "runs", "list", "--experiment", "as-job", "--json").stdout)
    wholes = [one for one in runs if one["name"] == "as-job"]
    assert len(wholes) == 2, "the job's run is the whole's"
    assert run.record.tracked in {one["run"] for one in wholes}
    assert len([one for one in runs if one["name"].startswith("fit[")]) == 7
    assert "FINISHED" in eagleray(lasting_home, "pipeline", "show", run_id).stdout
    ended = program(lasting_home, "-c", f"from eagleray import Job; print(Job({job!r}).status)")
    assert ended.stdout == "SUCCEEDED\n", ended.stderr
    Schedule("as-job", settings).delete()


def test_a_stopped_job_ends_its_run_which_is_resumed_elsewhere(lasting_home: Path, flow: Path) -> None:
    (flow / "hold").touch()
    target = f"{flow / 'job_flow.py'}:p"
    submitted = eagleray(lasting_home, "submit", "--json", target, "--days", "3", "--folder", str(flow))
    assert submitted.returncode == 0, submitted.stderr
    job = json.loads(submitted.stdout)["job"]
    awaited(lambda: (flow / "held").exists())
    stops = f"from eagleray import Job; job = Job({job!r}); job.stop(); print(job.wait(60))"
    stopped = program(lasting_home, "-c", stops)  # this process may have a Ray of its own
    assert stopped.stdout == "STOPPED\n", stopped.stderr
    run = json.loads(eagleray(lasting_home, "pipeline", "show", "--json").stdout)
    assert run["status"] in ("KILLED", "LOST")
    (flow / "hold").unlink()
    done = eagleray(lasting_home, "pipeline", "resume", target, run["run"], "--on", "here", "--no-track", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["run"], found["status"]) == (run["run"], "FINISHED")
    assert {one["step"]: one["gave"] for one in found["steps"]}["total"] == "30"
