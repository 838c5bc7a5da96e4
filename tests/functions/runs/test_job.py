"""Jobs on a Ray that stays."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from eagleray.functions.runs.job import Job
from eagleray.runtime import lasting
from eagleray.runtime.settings import Settings

from ..lasting_shell import eagleray, environment, program

SCRIPT = """
import os
import subprocess
import sys
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
from eagleray.functions.runs.tracking import run_store
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


@pytest.fixture
def script(tmp_path: Path) -> str:
    file = tmp_path / "job_script.py"
    file.write_text(SCRIPT)
    return str(file)


def test_a_job_outlives_its_submitter(lasting_home: Path, script: str, tmp_path: Path) -> None:
    words = ["-m", "eagleray.cli", "submit", "--json", f"{script}:double", "--x", "21"]
    submitted = subprocess.run(  # by a real shell's command once; other tests fork theirs
        [sys.executable, *words], capture_output=True, text=True, check=False, env=environment(lasting_home)
    )
    assert submitted.returncode == 0, submitted.stderr
    job = json.loads(submitted.stdout)["job"]
    shown = eagleray(lasting_home, "jobs", "logs", "-f", job)
    assert "doubling 21\n" in shown.stdout
    asks = "import sys; from eagleray import Job; job = Job(sys.argv[1]); print(job.result(), job.status)"
    assert program(lasting_home, "-c", asks, job).stdout == "42 SUCCEEDED\n"
    listed = json.loads(eagleray(lasting_home, "jobs", "list", "--json").stdout)
    assert {"job": job, "function": "double", "status": "SUCCEEDED"}.items() <= listed[0].items()
    (run,) = json.loads(eagleray(lasting_home, "runs", "list", "--experiment", "double", "--json").stdout)
    assert run["status"] == "FINISHED"


def test_an_error_ends_the_job_as_failed(lasting_home: Path, script: str) -> None:
    done = eagleray(lasting_home, "submit", f"{script}:broken", "--wait")
    assert done.returncode == 1
    assert f'File "{script}"' in done.stdout
    assert "ValueError: no luck" in done.stdout
    assert eagleray(lasting_home, "submit", f"{script}:broken", "--x", "1").returncode == 2


def test_a_stopped_job_ends_its_run_as_killed(lasting_home: Path, script: str) -> None:
    done = program(lasting_home, "-c", STOPS, script)
    assert done.stdout.startswith("STOPPED ['KILLED']\n"), done.stdout + done.stderr
    assert "stopped without a result" in done.stdout


def test_a_secret_reaches_the_job_and_no_file(lasting_home: Path, script: str) -> None:
    value = "hush-" + "in-a-job"
    assert eagleray(lasting_home, "secret", "set", "hf-token", given=value).returncode == 0
    done = eagleray(lasting_home, "submit", "--wait", f"{script}:leaky")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "token is ***" in done.stdout
    found = lasting.find(lasting_home)
    assert found is not None
    session = next(Path("/tmp").glob(f"eray-{found.pid}-*"))
    files = {path: content for root in (lasting_home, session) for path, content in contents(root)}
    assert len(files) > 50
    holders = [path for path, content in files.items() if value.encode() in content]
    assert holders == [lasting_home / "secrets" / "secrets.json"]


def contents(root: Path) -> Iterator[tuple[Path, bytes]]:
    """What is in its files; Ray makes some for a moment only."""
    for path in root.rglob("*"):
        if path.is_file() and not path.is_symlink():
            with contextlib.suppress(FileNotFoundError):
                yield path, path.read_bytes()


def test_a_job_may_say_what_its_result_is(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    job = Job[int]("j-1", settings=settings)
    assert (job.id, job) == ("j-1", Job("j-1", settings=settings))


def test_without_a_ray_that_stays_the_cure_is_named(tmp_path: Path, script: str) -> None:
    done = eagleray(tmp_path / "other", "submit", f"{script}:double", "--x", "1")
    assert done.returncode == 1
    assert done.stderr == (
        "eagleray: a job outlives this process, so it needs a Ray that does: run `eagleray up`, or set RAY_ADDRESS\n"
    )


def test_a_note_of_a_killed_one_is_not_believed(settings: Settings) -> None:
    lasting.note_path(settings.home).parent.mkdir(parents=True)
    lasting.publish(settings.home, lasting.Lasting("127.0.0.1:1", "http://127.0.0.1:2", os.getpid()))
    assert lasting.find(settings.home) is None
    assert lasting.stop(settings.home) is False, "this very process is not ended"
    assert not lasting.note_path(settings.home).exists()
