"""Schedules: their words without Ray, then on a Ray that stays, with its supervisor killed and the Ray ended."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from eagleray import Schedule, Timing, cli, function
from eagleray.functions.runs.schedule import Planned
from eagleray.runtime import lasting, psutil_processes
from eagleray.runtime.errors import DefinitionError, NotFoundError, ServerUnavailable
from eagleray.runtime.schedule_place import book_of
from eagleray.runtime.settings import Settings

from ..lasting_shell import awaited, eagleray, program

SCRIPT = """
import json, os
from pathlib import Path
from eagleray import function

@function(cpus=0)
def tick(where: str) -> str:
    job = json.loads(os.environ["RAY_JOB_CONFIG_JSON_ENV_VAR"])["metadata"]["job_submission_id"]
    with open(where, "a") as file:
        file.write(job + "\\n")
    print("ticked")
    return job

@function(cpus=0)
def broken() -> None:
    raise ValueError("no luck")
"""
DEPLOYS = """
import sys
from eagleray import Schedule
from eagleray.functions.loading import load
tick = load(sys.argv[1] + ":tick")
first = tick.schedule("@yearly", sys.argv[2], name="yearly", timezone="Europe/Berlin")
same = tick.schedule("@yearly", sys.argv[2], name="yearly", timezone="Europe/Berlin")
print(first.entry.version, same.entry.version, first.next()[0].strftime("%d.%m. %H:%M %z"))
other = tick.schedule(sys.argv[2] + "2", every="30d", name="yearly")
other.pause()
print(other.entry.version, other.timing, other.paused)
job = other.run_now()
print(job.result(60) == job.id, "ticked" in job.logs())
other.delete()
print(Schedule.all(), other.history()[0].asked)
load(sys.argv[1] + ":broken").schedule(every="30d").run_now().wait()
"""


@pytest.fixture
def script(tmp_path: Path) -> str:
    file = tmp_path / "due_script.py"
    file.write_text(SCRIPT)
    return str(file)


def test_words_of_a_schedule() -> None:
    @function
    def report(day: str, name: str = "all") -> None: ...

    assert Planned.of(report, "report", ("@daily", "x"), {}) == Planned(Timing("@daily"), "report", ("x",))
    every = Planned.of(report, "report", ("x",), {"every": "1h", "overlap": "queue"})
    assert every == Planned(Timing(every="1h", overlap="queue"), "report", ("x",))
    first = Planned.of(report, "report", (Timing("@daily"), "x"), {"name": "sales"})
    assert first == Planned(Timing("@daily"), "report", ("x",), {"name": "sales"})
    with pytest.raises(DefinitionError, match=r"report has an argument 'name' of its own: give a timing first"):
        report.schedule("@daily", "x", name="sales")
    with pytest.raises(DefinitionError, match="takes a cron rule first"):
        report.schedule(day="x")
    with pytest.raises(TypeError, match="missing a required argument: 'day'"):
        report.schedule("@daily")
    with pytest.raises(DefinitionError, match="'a b' cannot name a schedule"):
        report.options(name="a b").schedule("@daily", "x")
    with pytest.raises(ServerUnavailable, match="a schedule outlives this process, so it needs a Ray that does"):
        report.schedule("@daily", "x")


def test_what_is_wrong_is_told_before_anything_is_started(
    script: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], settings: Settings
) -> None:
    def told(*words: str) -> str:
        monkeypatch.setattr(sys, "argv", ["eagleray", "schedule", *words])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        assert ended.value.code == 1
        return capsys.readouterr().err

    monkeypatch.setattr(sys, "path", list(sys.path))
    assert "its hour is not 0-23" in told("add", "--cron", "0 24 * * *", f"{script}:broken")
    assert "did you mean 'Asia/Tokyo'" in told("add", f"{script}:broken", "--cron=@daily", "--timezone", "Asia/Tokio")
    assert "did you mean 'skip'" in told("add", "--every", "1h", "--overlap", "skp", f"{script}:broken")
    assert "run `eagleray up`" in told("add", "--every", "1h", f"{script}:broken")
    assert "no schedule 'x'" in told("pause", "x")
    assert Schedule.all(settings) == []
    assert not settings.home.exists(), "to look makes no catalog"
    with pytest.raises(NotFoundError, match="no schedule 'x'"):
        Schedule("x", settings).delete()


def test_a_schedule_is_made_changed_run_and_deleted(lasting_home: Path, script: str, tmp_path: Path) -> None:
    done = program(lasting_home, "-c", DEPLOYS, script, str(tmp_path / "ticks"))
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines == ["1 1 01.01. 00:00 +0100", "2 every 30d True", "True True", "[] True"], done.stderr
    broken = Schedule("broken", Settings(home=lasting_home))
    (run,) = awaited(lambda: [run for run in broken.history() if run.state == "FAILED"])
    assert run.error == f"ValueError: `eagleray jobs logs {run.job}` shows it"
    broken.delete()


def supervisor_pid(home: Path) -> int:
    """The actor's process, once there is one."""

    def look() -> list[int]:
        found = lasting.find(home)
        assert found is not None
        return [pid for pid, _ in psutil_processes.tree(found.pid) if "ScheduleSupervisor" in command(pid)]

    return awaited(look)[0]


def command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return ""


def test_killed_around_due_times_it_misses_none_and_runs_none_twice(
    lasting_home: Path, script: str, tmp_path: Path
) -> None:
    ticks = tmp_path / "ticks"
    rules = ("--catch-up", "all", "--overlap", "allow", "--json")
    added = eagleray(lasting_home, "schedule", "add", "--every", "5s", f"{script}:tick", "--where", str(ticks), *rules)
    assert json.loads(added.stdout)["when"] == "every 5s", added.stderr
    tick = Schedule("tick", Settings(home=lasting_home))
    book = book_of(tick.settings)
    first = awaited(lambda: supervisor_pid(lasting_home))
    awaited(tick.history)
    os.kill(first, signal.SIGKILL)  # the moment a due time is decided
    decided = len(tick.history(100))
    second = awaited(lambda: supervisor_pid(lasting_home) != first and supervisor_pid(lasting_home))
    awaited(lambda: len(tick.history(100)) > decided)
    os.kill(second, signal.SIGKILL)
    for paused in (True, False):  # what waits still runs, and nothing more is due
        book.set_paused("tick", paused, next_us=None)
    awaited(lambda: not book.live(), timeout_s=120)
    book.close()
    due = tick.history(100)[::-1]
    tick.delete()
    assert {run.state for run in due} == {"SUCCEEDED"}, due
    assert [run.due_us for run in due] == list(range(due[0].due_us, due[-1].due_us + 1, 5_000_000))
    assert Counter(ticks.read_text().split()) == Counter(run.job for run in due)
    assert len(due) >= 2


def test_up_twice_is_the_same_down_leaves_nothing_and_schedules_go_on(
    lasting_home: Path, script: str, tmp_path: Path
) -> None:
    found = lasting.find(lasting_home)
    assert found is not None
    again = json.loads(eagleray(lasting_home, "up", "--json").stdout)
    assert again == {"address": found.address, "dashboard": found.dashboard_url, "pid": found.pid}
    words = ("--every", "2s", "--overlap", "skip", f"{script}:tick", "--name", "often", "--where", str(tmp_path / "x"))
    assert eagleray(lasting_home, "schedule", "add", *words).returncode == 0
    processes = psutil_processes.tree(found.pid)
    assert len(processes) > 3
    done = eagleray(lasting_home, "down")
    assert done.stdout == f"nothing runs for {lasting_home} any more\n"
    gone_by = time.monotonic() + 20
    while left := [pid for pid, _ in processes if psutil_processes.alive(pid)]:
        assert time.monotonic() < gone_by, f"processes {left} outlived it"
    assert lasting.find(lasting_home) is None
    assert list(Path("/tmp").glob(f"eray-{found.pid}-*")) == []

    often = Schedule("often", Settings(home=lasting_home))
    (listed,) = json.loads(eagleray(lasting_home, "schedule", "list", "--json").stdout)
    assert (listed["schedule"], listed["when"]) == ("often", "every 2s")
    before = often.history(1)
    lasting.start(lasting_home, num_cpus=2)
    awaited(lambda: often.history(1) != before)
    states = {run.state for run in often.history()}
    assert states <= {"SUCCEEDED", "LOST", "SKIPPED", "MISSED", "STARTING", "QUEUED", "RUNNING"}
    often.delete()
