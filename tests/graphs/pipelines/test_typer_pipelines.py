"""`eagleray pipeline ...` from the shell."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from eagleray import Pipeline, Settings, cli

SCRIPT = """
from eagleray import Pipeline

def load(days: int, how: str) -> list[int]:
    return list(range(days))

def fit(part: int) -> int:
    return part * 10

def total(parts: list[int], fail: bool) -> int:
    if fail:
        raise KeyError("no luck")
    return sum(parts)

def interrupted() -> None:
    raise KeyboardInterrupt

p = Pipeline("shell")
data = p.step(load, days=p.parameter("days"), how=p.parameter("how", "7"))
p.step(total, p.map(fit, over=data), p.parameter("fail", False))
q = Pipeline("stopped")
q.step(interrupted)
number = 3
"""


@pytest.fixture
def script(tmp_path: Path) -> str:
    file = tmp_path / "shell_script.py"
    file.write_text(SCRIPT)
    return str(file)


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """Runs `eagleray pipeline WORDS` in this process: gives exit code, stdout and stderr."""
    monkeypatch.setattr(sys, "path", list(sys.path))

    def called(*words: str) -> tuple[Any, str, str]:
        monkeypatch.setattr(sys, "argv", ["eagleray", "pipeline", *words])
        code: Any = 0
        try:
            cli.main()
        except SystemExit as ended:
            code = ended.code
        out, err = capsys.readouterr()
        return code, out, err

    return called


def test_a_run_is_made_shown_and_listed(shell: Any, script: str) -> None:
    code, out, err = shell("run", f"{script}:p", "--param", "days=3", "-p", "how=8", "--no-track", "--json")
    assert code == 0, err
    run = json.loads(out)
    assert (run["status"], run["parameters"]) == ("FINISHED", {"days": "3", "how": '"8"', "fail": "false"})
    assert {one["step"]: one["gave"] for one in run["steps"]}["total"] == "30"
    code, out, err = shell("show", run["run"][:6])
    assert "fit[2]  FINISHED" in out
    assert "status: FINISHED" in out
    code, out, err = shell("list", "--json")
    assert [one["run"] for one in json.loads(out)] == [run["run"]]
    assert shell("list", "--pipeline", "other")[1].startswith("no run yet: p.run()")
    assert shell("plan", f"{script}:p")[1].splitlines()[0] == "shell(days, how='7', fail=False)"
    assert [one["name"] for one in json.loads(shell("plan", f"{script}:q", "--json")[1])["nodes"]] == ["interrupted"]


@pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SADeprecationWarning")  # MLflow's
@pytest.mark.filterwarnings("ignore::DeprecationWarning:mlflow")
def test_run_as_a_function_it_shows_its_id_and_no_settings(
    script: str, tracked: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setenv("EAGLERAY_HOME", str(tracked.home))
    monkeypatch.setenv("EAGLERAY_API_KEYS", "hush-keys")
    monkeypatch.setattr(sys, "argv", ["eagleray", "run", "--json", f"{script}:p", "--days", "3"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    out = capsys.readouterr().out
    assert (ended.value.code, "hush" in out) == (0, False)
    shown = json.loads(out)
    run = Pipeline("shell").runs(settings=tracked)[0]
    assert (shown["value"], shown["params"]["days"], shown["run"]) == (repr(run), "3", run.record.tracked)


def test_a_failed_run_is_resumed(shell: Any, script: str) -> None:
    code, _, err = shell("run", f"{script}:p", "-p", "days=2", "-p", "fail=true", "--no-track")
    assert code == 1
    first, second = err.splitlines()[:2]
    assert (first, second.strip().startswith(f'File "{script}"')) == ("Traceback (most recent call last):", True)
    assert "KeyError: 'no luck'" in err
    assert "in step 'total' of pipeline 'shell'" in err
    run = json.loads(shell("show", "--json")[1])
    assert (run["status"], run["error"]) == ("FAILED", "step total: KeyError: 'no luck'")
    Path(script).write_text(SCRIPT.replace("if fail:", "if False:"))
    code, out, err = shell("resume", f"{script}:p", "--no-track", "--json")
    assert code == 0, err
    again = json.loads(out)
    assert (again["run"], again["status"]) == (run["run"], "FINISHED")
    assert {one["step"]: one["gave"] for one in again["steps"]}["total"] == "10"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("run", "{script}:p", "-p", "dys=3"), "shell: no parameter 'dys'; did you mean 'days'"),
        (("run", "{script}:p", "-p", "days=x"), "days is 'x': input should be a valid integer"),
        (("run", "{script}:p", "-p", "days"), "--param days: write --param NAME=VALUE"),
        (("run", "{script}:p"), "shell needs its parameter 'days'"),
        (("run", "{script}:P"), "has no pipeline 'P'; did you mean 'p'?"),
        (("run", "{script}:number"), "number is a int, no Pipeline; known: p, q"),
        (("run", "{script}"), "names no pipeline: write FILE:PIPELINE"),
        (("run", "{script}:q", "--on", "moon"), 'on=\'moon\'; give "here" or "ray"'),
        (("resume", "{script}:p"), "shell: no run yet"),
        (("show",), "no pipeline has run yet"),
    ],
)
def test_what_is_wrong_is_one_line(shell: Any, script: str, words: tuple[str, ...], message: str) -> None:
    code, out, err = shell(*(word.format(script=script) for word in words))
    assert (code, out) == (1, "")
    assert err.startswith("eagleray: ")
    assert message in err
    assert err.count("\n") == 1


def test_ctrl_c_is_130_and_the_run_killed(script: str, tmp_path: Path, shell: Any) -> None:
    words = [sys.executable, "-m", "eagleray.cli", "pipeline", "run", f"{script}:q", "--no-track"]
    done = subprocess.run(words, capture_output=True, text=True, check=False, env=dict(os.environ))
    assert done.returncode == 130
    assert json.loads(shell("show", "--json")[1])["status"] == "KILLED"
