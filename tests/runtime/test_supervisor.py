"""Supervisors step by step with the time passed in, and killed at any moment: each due time runs once."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from eagleray.runtime.errors import NotFoundError, ServerUnavailable
from eagleray.runtime.packed_job import PackedJob
from eagleray.runtime.schedule import Timing, decide
from eagleray.runtime.schedule_entry import ScheduledRun, ScheduleEntry
from eagleray.runtime.sql_schedules import ScheduleBook
from eagleray.runtime.supervisor import LOOK_US, JobState, Supervisor, job_id

SECOND_US = 1_000_000
BEGIN_US = 1_767_225_600 * SECOND_US
JOB = PackedJob("tick", "some.module", b"call", {"num_cpus": 1.0})


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/catalog.db"


@pytest.fixture
def book(url: str) -> Iterator[ScheduleBook]:
    book = ScheduleBook(url, "here")
    yield book
    book.close()


class Cluster:
    """Takes a job's id once; a job goes on until the test ends it."""

    def __init__(self, book: ScheduleBook, name: str = "first") -> None:
        self.book, self.name = book, name
        self.jobs: dict[str, str] = {}
        self.runs: list[ScheduledRun] = []
        self.refuses = False

    def start(self, job: PackedJob, run: ScheduledRun) -> None:
        if self.refuses:
            raise ServerUnavailable("the cluster did not take the job")
        assert job == JOB
        if run.job not in self.jobs:
            self.jobs[run.job] = ""
            if self.book.begin(run, token=run.job, cluster=self.name, now_us=run.due_us):
                self.runs.append(run)

    def state(self, job_id: str) -> JobState | None:
        return JobState(self.jobs[job_id], "", 0) if job_id in self.jobs else None

    def end_all(self, how: str = "SUCCEEDED") -> None:
        self.jobs = {job: state or how for job, state in self.jobs.items()}


def put(book: ScheduleBook, timing: Timing, content: str = "a") -> ScheduleEntry:
    entry = ScheduleEntry("tick", "tick", timing, content, timing.after(BEGIN_US - 1), made_us=BEGIN_US)
    return book.put(entry, JOB)


def step(supervisor: Supervisor, second: float) -> float | None:
    """One step at that second; the second it wants to come again."""
    until_us = supervisor.step(int(BEGIN_US + second * SECOND_US))
    supervisor.settle()
    return None if until_us is None else (until_us - BEGIN_US) / SECOND_US


def states(book: ScheduleBook) -> dict[float, str]:
    found = book.history("tick", limit=1_000)
    return {(run.due_us - BEGIN_US) / SECOND_US: run.state for run in reversed(found)}


def test_it_sleeps_until_something_is_due(book: ScheduleBook) -> None:
    supervisor = Supervisor(book, cluster := Cluster(book), cluster="first")
    assert step(supervisor, 0) is None
    put(book, Timing(every="60s"))
    assert step(supervisor, 0) == LOOK_US / SECOND_US, "a run goes on: it looks whether it has ended"
    cluster.end_all()
    assert step(supervisor, 30) == 60
    assert step(supervisor, 59.9) == 60
    assert states(book) == {0: "SUCCEEDED"}
    assert step(supervisor, 60.1) == 62.1
    assert states(book) == {0: "SUCCEEDED", 60: "RUNNING"}


@pytest.mark.parametrize(
    ("overlap", "after_three", "after_the_end"),
    [
        ("skip", ["RUNNING", "SKIPPED", "SKIPPED"], ["SUCCEEDED", "SKIPPED", "SKIPPED"]),
        ("queue", ["RUNNING", "QUEUED", "QUEUED"], ["SUCCEEDED", "RUNNING", "QUEUED"]),
        ("allow", ["RUNNING", "RUNNING", "RUNNING"], ["SUCCEEDED", "SUCCEEDED", "SUCCEEDED"]),
    ],
)
def test_when_the_run_before_goes_on(
    book: ScheduleBook, overlap: str, after_three: list[str], after_the_end: list[str]
) -> None:
    supervisor = Supervisor(book, cluster := Cluster(book), cluster="first")
    put(book, Timing(every="10s", overlap=overlap))  # type: ignore[arg-type]
    for second in (0, 10, 20):
        step(supervisor, second)
    assert list(states(book).values()) == after_three
    cluster.end_all()
    step(supervisor, 25)
    assert list(states(book).values()) == after_the_end


def test_what_was_missed_is_caught_up_one_after_another(book: ScheduleBook) -> None:
    supervisor = Supervisor(book, cluster := Cluster(book), cluster="first")
    put(book, Timing(every="10s", catch_up="all"))
    for second in (35, 36, 37, 38):
        step(supervisor, second)
        assert list(states(book).values()).count("RUNNING") == 1
        cluster.end_all()
    step(supervisor, 39)
    assert states(book) == dict.fromkeys((0, 10, 20, 30), "SUCCEEDED")
    put(book, Timing(every="10s", catch_up="latest"), "b")
    step(supervisor, 95)
    assert states(book) | {90: "RUNNING", 40: "MISSED"} == states(book)
    assert len(states(book)) == 6


def test_a_long_outage_does_not_flood_the_cluster(book: ScheduleBook) -> None:
    supervisor = Supervisor(book, cluster := Cluster(book), cluster="first")
    put(book, Timing(every="1s", catch_up="all", overlap="allow"))
    assert step(supervisor, 119) == 121
    assert Counter(states(book).values()) == {"RUNNING": 8, "QUEUED": 92}
    for _ in range(16):
        cluster.end_all()
        step(supervisor, 119)
    assert states(book) == dict.fromkeys(range(120), "SUCCEEDED")
    assert len(cluster.runs) == 120


def test_a_predecessors_claim_is_started_and_its_job_not_twice(book: ScheduleBook) -> None:
    cluster = Cluster(book)
    put(book, Timing(every="10s"))
    entry = book.entry("tick")
    assert book.decide(entry, decide(entry.timing, due_us=BEGIN_US, now_us=BEGIN_US), skipped=False, now_us=BEGIN_US)
    (run,) = book.live()
    assert book.claim(run, job=job_id(run, book.mark), cluster="first")
    assert not book.claim(run, job=job_id(run, book.mark), cluster="first")
    step(Supervisor(book, cluster, cluster="first"), 1)  # it was killed before it had started the job
    assert states(book) == {0: "RUNNING"}
    step(Supervisor(book, cluster, cluster="first"), 2)
    assert [run.due_us for run in cluster.runs] == [BEGIN_US]
    assert cluster.runs[0].job == f"tick-20260101T000000Z-{book.mark}"


def test_what_a_cluster_leaves_that_has_ended(book: ScheduleBook) -> None:
    put(book, Timing(every="10s", overlap="allow"))
    step(Supervisor(book, Cluster(book), cluster="first"), 0)
    assert book.begin(book.live()[0], token="other", cluster="first", now_us=0) is False, "another process has begun"
    never_begun = Cluster(book, "nobody answers")
    step(Supervisor(book, never_begun, cluster="first"), 10)
    assert states(book) == {0: "LOST", 10: "STARTING"}, "its job is known to no cluster"
    second = Cluster(book, "second")
    step(Supervisor(book, second, cluster="second"), 11)
    assert states(book) == {0: "LOST", 10: "RUNNING"}
    late = replace(book.live()[0], state="SUCCEEDED", ended_us=0)
    assert not book.end(book.live()[0], late, cluster="first"), "the old one's words come too late"


def test_pause_delete_and_a_run_that_somebody_asks_for(book: ScheduleBook) -> None:
    supervisor = Supervisor(book, cluster := Cluster(book), cluster="first")
    put(book, Timing(every="10s", overlap="queue"))
    step(supervisor, 0)
    step(supervisor, 10)
    book.set_paused("tick", True, next_us=BEGIN_US + 20 * SECOND_US)
    cluster.end_all()
    assert step(supervisor, 30) is None
    assert states(book) == {0: "SUCCEEDED", 10: "QUEUED"}
    book.ask("tick", BEGIN_US + 31 * SECOND_US)
    step(supervisor, 31)
    assert states(book) == {0: "SUCCEEDED", 10: "QUEUED", 31: "RUNNING"}
    book.delete("tick", now_us=BEGIN_US)
    assert states(book) == {0: "SUCCEEDED", 10: "SKIPPED", 31: "RUNNING"}
    cluster.end_all("FAILED")
    assert step(supervisor, 40) is None
    assert states(book) == {0: "SUCCEEDED", 10: "SKIPPED", 31: "FAILED"}
    with pytest.raises(NotFoundError, match="no schedule 'tick'"):
        book.entry("tick")
    put(book, Timing(every="10s"))  # made again, and its due times of before stay decided
    step(supervisor, 5)
    assert states(book)[0] == "SUCCEEDED"


def test_a_job_that_cannot_be_started_is_a_failed_run(book: ScheduleBook) -> None:
    supervisor = Supervisor(book, cluster := Cluster(book), cluster="first")
    cluster.refuses = True
    put(book, Timing(every="10s"))
    step(supervisor, 0)
    (run,) = book.history("tick", limit=10)
    assert (run.state, run.error) == ("FAILED", "it could not be started: the cluster did not take the job")


def test_equal_content_is_no_change(book: ScheduleBook) -> None:
    first = put(book, Timing(every="10s"))
    step(Supervisor(book, Cluster(book), cluster="first"), 0)
    same = put(book, Timing(every="10s"))
    assert (same.version, same.next_us) == (1, BEGIN_US + 10 * SECOND_US)
    other = put(book, Timing(every="10s"), "b")
    assert (other.version, other.next_us) == (2, BEGIN_US + 10 * SECOND_US), "the same times: none is decided anew"
    assert put(book, Timing("@hourly"), "c").next_us == first.next_us
    with pytest.raises(NotFoundError, match="did you mean 'tick'"):
        book.entry("tik")


def test_places_are_apart_and_old_runs_are_forgotten(url: str, book: ScheduleBook) -> None:
    put(book, Timing(every="1s", catch_up="all", overlap="allow"))
    there = ScheduleBook(url, "there")
    assert there.entries() == []
    assert there.next_us() is None
    assert there.mark != book.mark, "nor do their jobs meet in one cluster"
    there.close()
    supervisor = Supervisor(book, cluster := Cluster(book), cluster="first")
    for second in range(20):
        step(supervisor, second)
        cluster.end_all()
    step(supervisor, 20)
    book.prune("tick", keep=5)
    assert list(states(book)) == [16, 17, 18, 19, 20]


def test_of_many_who_decide_and_claim_at_once_one_does(url: str, book: ScheduleBook) -> None:
    put(book, Timing(every="10s"))
    entry = book.entry("tick")
    decision = decide(entry.timing, due_us=BEGIN_US, now_us=BEGIN_US)
    books = [ScheduleBook(url, "here") for _ in range(8)]
    together = threading.Barrier(len(books))

    def one(mine: ScheduleBook) -> tuple[bool, bool]:
        together.wait()
        decided = mine.decide(entry, decision, skipped=False, now_us=BEGIN_US)
        together.wait()
        (run,) = mine.live()
        return decided, mine.claim(run, job="x", cluster="first")

    with ThreadPoolExecutor(len(books)) as threads:
        found = list(threads.map(one, books))
    assert [sum(column) for column in zip(*found, strict=True)] == [1, 1]
    for other in books:
        other.close()


# Five seconds pass in one; a supervisor is a process that never ends by itself, forked from one that has all loaded.
SPEED = 5
KILLED = """
import os, signal, sys, threading, time
from pathlib import Path
from eagleray.runtime.sql_schedules import ScheduleBook
from eagleray.runtime.supervisor import JobState, Supervisor
url, folder, zero_us, speed = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
class Folder:
    def start(self, job, run):
        try:
            (folder / run.job).open("x").write(f"{run.due_us}")
        except FileExistsError:
            pass
    def state(self, job_id):
        return JobState("", "", 0) if (folder / job_id).exists() else None
def supervise():
    supervisor = Supervisor(ScheduleBook(url, "here"), Folder(), cluster="first")
    while True:
        supervisor.step(zero_us + (time.time_ns() // 1000 - zero_us) * speed)
        threading.Event().wait(0.005)
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
for _ in sys.stdin:
    pid = os.fork()
    if not pid:
        supervise()
    print(pid, flush=True)
"""


def test_supervisors_killed_at_any_moment_run_each_due_time_once(url: str, book: ScheduleBook, tmp_path: Path) -> None:
    folder = tmp_path / "jobs"
    folder.mkdir()
    zero_us = time.time_ns() // 1000 // SECOND_US * SECOND_US
    timing = Timing(every="1s", catch_up="all", overlap="allow")
    book.put(ScheduleEntry("tick", "tick", timing, "a", zero_us + SECOND_US), JOB)
    begun: list[int] = []
    seen: set[str] = set()

    def work() -> None:
        """The cluster: every job asks whether it may begin, and ends."""
        for file in sorted(folder.iterdir()):
            if file.name not in seen and (due := file.read_text()):
                seen.add(file.name)
                run = ScheduledRun("tick", int(due), "", 0, job=file.name)
                if book.begin(run, token=file.name, cluster="first", now_us=0):
                    begun.append(run.due_us)
                    book.end(run, replace(run, state="SUCCEEDED", ended_us=0), cluster="first")

    words = [sys.executable, "-c", KILLED, url, str(folder), str(zero_us), str(SPEED)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as nursery:
        assert nursery.stdin is not None
        assert nursery.stdout is not None

        def supervisor() -> int:
            nursery.stdin.write("one\n")  # type: ignore[union-attr]
            nursery.stdin.flush()  # type: ignore[union-attr]
            return int(nursery.stdout.readline())  # type: ignore[union-attr]

        dice = random.Random(7)
        running = [supervisor(), supervisor()]
        try:
            for _ in range(20):
                until = time.monotonic() + dice.uniform(0.0, 0.3)
                while time.monotonic() < until:
                    work()
                os.kill(running.pop(0), signal.SIGKILL)
                running.append(supervisor())
            last_us = book.entry("tick").next_us
            deadline = time.monotonic() + 60
            while (next_us := book.next_us()) is None or next_us <= (last_us or 0) + 5 * SECOND_US:
                work()
                assert time.monotonic() < deadline, "it does not go on"
            book.set_paused("tick", True, next_us=None)
            book.set_paused("tick", False, next_us=None)  # what waits still runs, nothing more is due
            while book.live():
                work()
                assert time.monotonic() < deadline, book.live()
        finally:
            for pid in running:
                os.kill(pid, signal.SIGKILL)
    due = range(zero_us + SECOND_US, max(begun) + 1, SECOND_US)
    assert sorted(begun) == list(due), "none missed, none twice"
    assert len(begun) > 15
