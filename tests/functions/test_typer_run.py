"""`eagleray run`, `runs` and `secret` as a user calls them."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest

from eagleray import cli
from eagleray.functions.runs.run import Run
from eagleray.functions.typer_runs import compared
from eagleray.runtime.settings import Settings

pytestmark = pytest.mark.filterwarnings(
    "ignore::sqlalchemy.exc.SADeprecationWarning",  # MLflow's models use a loader SQLAlchemy 2.1 deprecates
    "ignore::DeprecationWarning:mlflow",
)


def shell(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    monkeypatch.setattr(sys, "argv", ["eagleray", *words])
    try:
        cli.main()
    except SystemExit as done:
        return int(done.code or 0)
    return 0


@pytest.fixture
def script(tmp_path: Path, tracked: Settings, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("EAGLERAY_HOME", str(tracked.home))
    monkeypatch.setattr(sys, "path", list(sys.path))
    file = tmp_path / "shell_script.py"
    file.write_text(
        "from eagleray import log_metric\n"
        "def fit(depth: int, rate: float = 0.5) -> float:\n"
        "    print('fitting')\n"
        "    log_metric('auc', depth * rate)\n"
        "    return depth * rate\n"
        "def own(name: str) -> str:\n"
        "    return name\n"
        "def broken() -> None:\n"
        "    raise ValueError('no luck')\n"
    )
    return str(file)


def test_run_prints_the_run_and_runs_show_it(
    script: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert shell(monkeypatch, "run", "--experiment", "shell", "--json", f"{script}:fit", "--depth", "3") == 0
    first = json.loads(capsys.readouterr().out.partition("fitting\n")[2])
    assert (first["value"], first["metrics"], first["status"]) == (1.5, {"auc": 1.5}, "FINISHED")
    assert shell(monkeypatch, "run", "--experiment", "shell", f"{script}:fit", "--depth=4", "--json") == 0
    second = json.loads(capsys.readouterr().out.partition("fitting\n")[2])
    assert shell(monkeypatch, "runs", "list", "--experiment", "shell", "--json") == 0
    assert [row["run"] for row in json.loads(capsys.readouterr().out)] == [second["run"], first["run"]]
    assert shell(monkeypatch, "runs", "logs", first["run"][:10]) == 0
    assert capsys.readouterr().out == "fitting\n"
    assert shell(monkeypatch, "runs", "show", "last", "--json") == 0
    assert json.loads(capsys.readouterr().out)["params"] == {"depth": "4", "rate": "0.5"}
    assert shell(monkeypatch, "runs", "compare", first["run"], second["run"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split() for line in lines[1:]] == [["param", "depth", "3", "4"], ["metric", "auc", "1.5", "2.0"]]


def test_own_options_count_behind_the_function_too(
    script: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    late = ("--depth", "3", "--experiment=late", "--name", "second", "--json")
    assert shell(monkeypatch, "run", "--experiment", "early", f"{script}:fit", *late) == 0
    assert json.loads(capsys.readouterr().out.partition("fitting\n")[2])["value"] == 1.5
    assert shell(monkeypatch, "runs", "list", "--experiment", "late", "--json") == 0
    assert [row["name"] for row in json.loads(capsys.readouterr().out)] == ["second"]
    assert shell(monkeypatch, "run", f"{script}:fit", "--depth", "3", "--experiment") == 2
    assert "--experiment takes a value" in capsys.readouterr().err
    assert shell(monkeypatch, "run", f"{script}:fit", "--", "--depth", "3", "--experiment", "x") == 2
    assert "fit has no flag --experiment" in capsys.readouterr().err
    assert shell(monkeypatch, "run", "--json", f"{script}:own", "--name", "mine") == 0
    assert json.loads(capsys.readouterr().out)["value"] == "mine"


def test_wrong_flags_are_2_and_errors_1(
    script: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert shell(monkeypatch, "run", f"{script}:fit", "--dept", "3") == 2
    assert capsys.readouterr().err == "eagleray: fit has no flag --dept; did you mean 'depth'?\n"
    assert shell(monkeypatch, "run", f"{script}:fit", "--help") == 0
    assert "--depth  int    required" in capsys.readouterr().out
    assert shell(monkeypatch, "run", f"{script}:fitt") == 1
    assert "did you mean 'fit'" in capsys.readouterr().err
    assert shell(monkeypatch, "run", f"{script}:broken") == 1
    shown = capsys.readouterr().err
    assert shown.splitlines()[1].strip().startswith(f'File "{script}"')
    assert "ValueError: no luck\nrun " in shown
    assert shell(monkeypatch, "runs", "show", "nope") == 1
    assert "`eagleray runs list` names them" in capsys.readouterr().err


def test_compared_shows_what_differs() -> None:
    left = Run("e", id="a" * 32, params={"x": "1", "y": "2"}, metrics={"auc": 0.5})
    right = Run("e", id="b" * 32, params={"x": "1", "y": "3"})
    rows = compared([left, right], everything=False)
    assert [(row["name"], row["a" * 8], row["b" * 8]) for row in rows] == [("y", "2", "3"), ("auc", 0.5, "")]
    assert len(compared([left, right], everything=True)) == 3


def test_secrets_come_from_standard_input(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("hush-value\n"))
    assert shell(monkeypatch, "secret", "set", "hf-token") == 0
    assert shell(monkeypatch, "secret", "list", "--json") == 0
    assert shell(monkeypatch, "secret", "delete", "hf-tokn") == 1
    assert shell(monkeypatch, "secret", "delete", "hf-token") == 0
    shown = capsys.readouterr()
    assert "hush-value" not in shown.out + shown.err
    assert '"name": "hf-token",\n    "variable": "HF_TOKEN"' in shown.out
    assert "did you mean 'hf-token'" in shown.err
