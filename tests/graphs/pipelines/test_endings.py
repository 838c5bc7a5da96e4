"""How runs in this process end when they do not simply finish: time limits, Ctrl-C, secrets that must not be kept."""

from __future__ import annotations

import os
import signal
import threading
import time
from typing import Any

import pytest

from eagleray import Pipeline, PipelineRun, Retries, Secret, function
from eagleray.runtime.errors import InputError
from eagleray.runtime.settings import Settings


def ran(p: Pipeline, settings: Settings, **words: Any) -> PipelineRun:
    return p.run(settings=settings, track=False, **words)


def constant(x: int) -> int:
    return x


def endless() -> None:
    while True:
        threading.Event().wait(0.01)


def test_a_time_limit_holds_on_threads_and_alone(settings: Settings) -> None:
    p = Pipeline("limits")
    p.step(function(timeout_s=0.2)(endless))
    with pytest.raises(TimeoutError, match=r"endless took longer than 0.2 s"):
        ran(p, settings)
    p.step(constant, 1, name="beside")
    with pytest.raises(TimeoutError, match=r"endless took longer than 0.2 s"):
        ran(p, settings)
    assert p.runs(settings=settings)[0]["beside"].status == "FINISHED"


@pytest.mark.parametrize("steps", [1, 3])
def test_ctrl_c_ends_the_run_as_killed_and_leaves_nothing_running(steps: int, settings: Settings) -> None:
    p = Pipeline("interrupted")
    first = p.step(constant, 1)
    begun, over = threading.Barrier(steps), threading.Event()

    def presses() -> None:
        """Again after two seconds: Python drops a Ctrl-C that comes while an object is being deleted."""
        wait_s = 0.05
        while not over.wait(wait_s):
            os.kill(os.getpid(), signal.SIGINT)
            wait_s = 2.0

    def hangs(_x: int) -> None:
        if begun.wait(30) == 0:
            threading.Thread(target=presses, daemon=True).start()
        endless()

    for place in range(steps):
        p.step(hangs, first, name=f"hang{place}", retries=Retries(3, backoff_s=0.0))
    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt) as caught:
        ran(p, settings)
    over.set()
    assert time.monotonic() - started < 4
    assert "was ended: pipeline.resume(" in caught.value.__notes__[0]
    (run,) = p.runs(settings=settings)
    assert run.status == "KILLED"
    assert {one.status for name, one in run.steps.items() if "hang" in name} == {"KILLED"}
    assert run["constant"].status == "FINISHED"
    assert not [one for one in threading.enumerate() if one.name.startswith("step ")]


def test_a_run_is_driven_by_one(settings: Settings) -> None:
    p = Pipeline("driven")
    seen: list[str] = []

    def looks() -> None:
        (run,) = p.runs(settings=settings)
        seen.append(run.status)
        assert run["looks"].status == "RUNNING"

    p.step(looks)
    run = ran(p, settings)
    assert (seen, run.status) == (["RUNNING"], "FINISHED")
    assert not list((settings.home / "pipelines" / "driven").iterdir()), "its lock is gone"


def test_a_secret_is_there_for_its_step_and_in_no_file(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    value = "hush-" + "of-pipelines"
    monkeypatch.setenv("EAGLERAY_HOME", str(settings.home))
    monkeypatch.setenv("HF_TOKEN", value)

    @function(secrets=[Secret("hf-token")])
    def leaky(how: str) -> object:
        token = os.environ["HF_TOKEN"]
        print("token", token)
        if how == "raise":
            raise ValueError(f"token {token}")
        return {"length": len(token), "text": token if how == "return" else ""}

    def plain(x: object) -> object:
        return x

    def built(how: object) -> Pipeline:
        p = Pipeline("secrets")
        p.step(plain, p.step(leaky, how))
        p.parameter("extra", "")
        return p

    assert ran(built("fine"), settings)["leaky"].value == {"length": len(value), "text": ""}
    with pytest.raises(ValueError, match=r"token \*\*\*"):
        ran(built("raise"), settings)
    with pytest.raises(InputError, match="its output holds the value of secret 'hf-token'"):
        ran(built("return"), settings)
    with pytest.raises(InputError, match="leaky: how holds the value of secret 'hf-token', which would be stored"):
        ran(built(value), settings)
    for stores in (built("fine").submit, lambda **words: built("fine").schedule("@daily", **words)):
        with pytest.raises(InputError, match="parameter 'extra' holds the value of secret"):
            stores(extra=value)
    with pytest.raises(InputError, match="parameter 'extra' holds the value of secret"):
        ran(built("fine"), settings, extra=f"Bearer {value}")
    held = [path for path in settings.home.rglob("*") if path.is_file() and value.encode() in path.read_bytes()]
    assert held == []
