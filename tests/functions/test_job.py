"""A Ray that stays, and jobs on it: started once for this file, used from programs of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from eagleray.runtime import lasting, psutil_processes
from eagleray.runtime.settings import Settings

SCRIPT = """
import os
from eagleray import Secret, function, log_metric

@function(cpus=0.5)
def double(x: int) -> int:
    print("doubling", x)
    log_metric("seen", x)
    return x * 2

def broken() -> None:
    raise ValueError("no luck")

@function(secrets=[Secret("hf-token")])
def leaky() -> int:
    print("token is", os.environ["HF_TOKEN"])
    return len(os.environ["HF_TOKEN"])

def endless() -> None:
    import threading
    print("begun", flush=True)
    while True:
        threading.Event().wait(1)
"""
STOPS = """
import sys
from pathlib import Path
from eagleray.functions.loading import load
from eagleray.functions.tracking import run_store
from eagleray.runtime.settings import Settings
job = load(sys.argv[1] + ":endless").submit()
for text in job.follow():
    if "begun" in text:
        job.stop()
print(job.status, [run.status for run in run_store(Settings.from_env()).find(experiment="endless")])
try:
    job.result()
except Exception as error:
    print(error)
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    home = tmp_path_factory.mktemp("lasting") / "home"
    try:
        lasting.start(home, num_cpus=2)
        yield home
    finally:
        lasting.stop(home)


def program(home: Path, *words: str, given: str = "") -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "HF_"))}
    return subprocess.run(
        [sys.executable, *words], capture_output=True, text=True, timeout=150, check=False, input=given,
        env=environment | {"EAGLERAY_HOME": str(home)},
    )  # fmt: skip


def eagleray(home: Path, *words: str, given: str = "") -> subprocess.CompletedProcess[str]:
    return program(home, "-m", "eagleray.cli", *words, given=given)


@pytest.fixture
def script(tmp_path: Path) -> str:
    file = tmp_path / "job_script.py"
    file.write_text(SCRIPT)
    return str(file)


def test_a_job_outlives_its_submitter(home: Path, script: str, tmp_path: Path) -> None:
    submitted = eagleray(home, "submit", "--json", f"{script}:double", "--x", "21")
    assert submitted.returncode == 0, submitted.stderr
    job = json.loads(submitted.stdout)["job"]
    shown = eagleray(home, "jobs", "logs", "-f", job)
    assert "doubling 21\n" in shown.stdout
    asks = "import sys; from eagleray import Job; job = Job(sys.argv[1]); print(job.result(), job.status)"
    assert program(home, "-c", asks, job).stdout == "42 SUCCEEDED\n"
    listed = json.loads(eagleray(home, "jobs", "list", "--json").stdout)
    assert {"job": job, "function": "double", "status": "SUCCEEDED"}.items() <= listed[0].items()
    (run,) = json.loads(eagleray(home, "runs", "list", "--experiment", "double", "--json").stdout)
    assert run["status"] == "FINISHED"


def test_an_error_ends_the_job_as_failed(home: Path, script: str) -> None:
    done = eagleray(home, "submit", "--wait", f"{script}:broken")
    assert done.returncode == 1
    assert f'File "{script}"' in done.stdout
    assert "ValueError: no luck" in done.stdout
    assert eagleray(home, "submit", f"{script}:broken", "--x", "1").returncode == 2


def test_a_stopped_job_ends_its_run_as_killed(home: Path, script: str) -> None:
    done = program(home, "-c", STOPS, script)
    assert done.stdout.startswith("STOPPED ['KILLED']\n"), done.stdout + done.stderr
    assert "stopped without a result" in done.stdout


def test_a_secret_reaches_the_job_and_no_file(home: Path, script: str) -> None:
    value = "hush-" + "in-a-job"
    assert eagleray(home, "secret", "set", "hf-token", given=value).returncode == 0
    done = eagleray(home, "submit", "--wait", f"{script}:leaky")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "token is ***" in done.stdout
    found = lasting.find(home)
    assert found is not None
    session = next(Path("/tmp").glob(f"eray-{found.pid}-*"))
    files = [path for root in (home, session) for path in root.rglob("*") if path.is_file() and not path.is_symlink()]
    assert len(files) > 50
    holders = [path for path in files if value.encode() in path.read_bytes()]
    assert holders == [home / "secrets" / "secrets.json"]


def test_without_a_ray_that_stays_the_cure_is_named(tmp_path: Path, script: str) -> None:
    done = eagleray(tmp_path / "other", "submit", f"{script}:double", "--x", "1")
    assert done.returncode == 1
    assert done.stderr == (
        "eagleray: a job outlives this process, so it needs a Ray that does: run `eagleray up`, or set RAY_ADDRESS\n"
    )


def test_up_twice_is_the_same_and_down_leaves_nothing(home: Path) -> None:
    found = lasting.find(home)
    assert found is not None
    again = json.loads(eagleray(home, "up", "--json").stdout)
    assert again == {"address": found.address, "dashboard": found.dashboard_url, "pid": found.pid}
    processes = psutil_processes.tree(found.pid)
    assert len(processes) > 3
    done = eagleray(home, "down")
    assert done.stdout == f"nothing runs for {home} any more\n"
    gone_by = time.monotonic() + 20
    while left := [pid for pid, _ in processes if psutil_processes.alive(pid)]:
        assert time.monotonic() < gone_by, f"processes {left} outlived it"
    assert lasting.find(home) is None
    assert list(Path("/tmp").glob(f"eray-{found.pid}-*")) == []


def test_a_note_of_a_killed_one_is_not_believed(settings: Settings) -> None:
    lasting.note_path(settings.home).parent.mkdir(parents=True)
    lasting.publish(settings.home, lasting.Lasting("127.0.0.1:1", "http://127.0.0.1:2", os.getpid()))
    assert lasting.find(settings.home) is None
    assert lasting.stop(settings.home) is False, "this very process is not ended"
    assert not lasting.note_path(settings.home).exists()
