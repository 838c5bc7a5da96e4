"""The process that drives a run is killed in the middle; another one goes on with what had not finished."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from eagleray import PipelineRun
from eagleray.graphs.pipelines.pipeline_run import LOST
from eagleray.runtime.errors import InputError
from eagleray.runtime.settings import Settings

FLOW = """
import sys, threading
from pathlib import Path
from eagleray import Pipeline, Settings

HERE = Path(__file__).parent

def note(name):
    with open(HERE / "calls", "a") as file:
        file.write(name + "\\n")

def load() -> list[int]:
    note("load")
    return [0, 1, 2, 3]

def fit(x: int) -> int:
    note(f"fit{x}")
    if x == 3:
        held("fit")
    return x + 1

def held(where):
    if (HERE / f"hold-{where}").exists():
        print("held", flush=True)
        threading.Event().wait()

def yes(parts: list[int]) -> bool:
    note("yes")
    return sum(parts) == 10

def total(parts: list[int]) -> int:
    note("total")
    held("total")
    return sum(parts)

def tell(x: int) -> str:
    note("tell")
    return f"total {x}"

p = Pipeline("killed")
parts = p.map(fit, over=p.step(load))
good = p.when(yes, parts)
p.step(tell, p.step(total, parts, when=good))
p.step(note, "never", name="never", when=~good)

if __name__ == "__main__":
    words = {"settings": Settings(home=HERE / "home"), "track": False, "at_once": int(sys.argv[2])}
    run = p.run(**words) if sys.argv[1] == "run" else p.resume("last", **words)
    print("done", run["tell"].value)
"""


@contextmanager
def driver(folder: Path, *words: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "flow.py", *words]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as found:
        try:
            yield found
        finally:
            found.kill()


def line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    ready, _, _ = select.select([process.stdout], [], [], 60)
    assert ready, "it says nothing"
    return process.stdout.readline().strip()


@pytest.mark.parametrize("at_once", ["1", "4"])
def test_what_has_finished_before_a_kill_is_not_run_again(at_once: str, tmp_path: Path) -> None:
    (tmp_path / "flow.py").write_text(FLOW)
    settings = Settings(home=tmp_path / "home")
    (tmp_path / "hold-fit").touch()
    (tmp_path / "hold-total").touch()
    with driver(tmp_path, "run", at_once) as first:
        assert line(first) == "held"
        (run_id,) = (settings.home / "pipelines" / "driven").iterdir()
        run = PipelineRun(run_id.name, settings)
        assert run.status == "RUNNING"
        with driver(tmp_path, "resume", at_once) as other:
            assert other.wait(60) == 1, "two processes do not drive one run"
        os.kill(first.pid, signal.SIGKILL)
    assert run.status == LOST
    before = {name: one.status for name, one in run.steps.items()}
    assert before["fit[3]"] == "RUNNING"

    (tmp_path / "hold-fit").unlink()
    with driver(tmp_path, "resume", at_once) as second:
        assert line(second) == "held"
        os.kill(second.pid, signal.SIGKILL)
    (tmp_path / "hold-total").unlink()
    with driver(tmp_path, "resume", at_once) as third:
        assert line(third) == "done total 10"
        assert third.wait(60) == 0

    calls = Counter((tmp_path / "calls").read_text().split())
    running = {name for name, status in before.items() if status == "RUNNING"}
    assert calls["load"] == calls["yes"] == calls["tell"] == 1
    assert calls["total"] == 2, "it ran when the second was killed, so it runs again"
    assert calls["fit3"] == 2
    for place in range(3):
        assert calls[f"fit{place}"] == (2 if f"fit[{place}]" in running else 1)
    assert calls["never"] == 0
    assert run.status == "FINISHED"
    assert run["fit"].value == [1, 2, 3, 4]
    assert run["never"].status == "SKIPPED"


def test_a_run_that_goes_on_is_not_taken_over(tmp_path: Path) -> None:
    from eagleray.graphs.pipelines.run_lock import driving, is_driven, owner

    assert not is_driven(tmp_path, "a" * 32, owner())
    with driving(tmp_path, "a" * 32):
        assert is_driven(tmp_path, "a" * 32, owner())
        code = (
            "import sys; from pathlib import Path; from eagleray.graphs.pipelines.run_lock import driving\n"
            f"with driving(Path({str(tmp_path)!r}), 'a' * 32): pass"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        assert "InputError: run aaaaaaaa still goes on in another process" in done.stderr
        child = os.fork()
        if child == 0:  # what the driver forks does not hold the run when the driver is gone
            try:
                with driving(tmp_path, "a" * 32):
                    os._exit(1)
            except InputError:
                os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
    assert is_driven(tmp_path, "a" * 32, "another-machine:1"), "of another machine nobody here can know"
