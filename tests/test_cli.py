"""The command line: what it prints, its exit codes, and how light it is."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from eagleray import cli
from eagleray.runtime.doctor import Check, checks
from eagleray.runtime.settings import Settings

HELP_LIMIT_S = 0.5


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("EAGLERAY_REDIS_URL", "EAGLERAY_CATALOG_URL", "MLFLOW_TRACKING_URI", "RAY_ADDRESS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("EAGLERAY_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    """Runs the command line in this process and gives its exit code."""
    monkeypatch.setattr(sys, "argv", ["eagleray", *arguments])
    with pytest.raises(SystemExit) as done:
        cli.main()
    return int(done.value.code or 0)


def test_help_is_quick_and_names_every_command() -> None:
    best_s = 10.0
    for _ in range(3):
        start = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-m", "eagleray.cli", "--help"], capture_output=True, text=True, check=True
        )
        best_s = min(best_s, time.perf_counter() - start)
    assert all(
        f"  {command} " in done.stdout
        for command in ("demo", "hub", "features", "models", "run", "serve", "history", "doctor", "down")
    )
    assert best_s < HELP_LIMIT_S


def test_version(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(monkeypatch, "--version") == 0
    assert capsys.readouterr().out.startswith("eagleray ")


def test_hub_lists_searches_and_shows(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(monkeypatch, "hub", "list", "--json") == 0
    assert {"automl", "describe", "score"} <= {item["name"] for item in json.loads(capsys.readouterr().out)}
    assert run(monkeypatch, "hub", "search", "statistics", "columns") == 0
    assert "describe  1.0.0" in capsys.readouterr().out
    assert run(monkeypatch, "hub", "show", "describe", "--json") == 0
    assert json.loads(capsys.readouterr().out)["signature"].startswith("describe(frame")


def test_an_error_is_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(monkeypatch, "hub", "show", "descibe") == 1
    assert capsys.readouterr().err == "eagleray: no hub item 'descibe'; did you mean 'describe'?\n"
    assert run(monkeypatch, "features", "show", "users") == 1
    assert capsys.readouterr().err == "eagleray: no feature set 'users'; none is defined yet\n"


@pytest.mark.parametrize("arguments", [["nonsense"], ["hub", "list", "--nonsense"], ["demo", "--budget-s", "soon"]])
def test_wrong_usage_is_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    assert run(monkeypatch, *arguments) == 2
    assert "Traceback" not in capsys.readouterr().err


def test_ctrl_c_is_130(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def stopped(_: Settings) -> Iterator[Check]:
        raise KeyboardInterrupt

    monkeypatch.setattr("eagleray.runtime.doctor.checks", stopped)
    assert run(monkeypatch, "doctor") == 130
    assert "Traceback" not in capsys.readouterr().err


def test_empty_homes_stay_empty(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], home: Path
) -> None:
    assert run(monkeypatch, "features", "list", "--json") == 0
    assert run(monkeypatch, "models", "list", "--json") == 0
    assert run(monkeypatch, "down") == 0
    assert capsys.readouterr().out == f"[]\n[]\nnothing runs for {home} any more\n"
    assert not home.exists()


def test_doctor_on_this_machine(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    code = run(monkeypatch, "doctor", "--json")
    found = {check["name"]: check for check in json.loads(capsys.readouterr().out)}
    assert {"python", "packages", "ray", "valkey", "haproxy", "home", "disk", "shared memory", "ports"} == set(found)
    assert code == (0 if all(check["ok"] for check in found.values()) else 1)
    assert found["ray"]["ok"]
    assert found["valkey"]["ok"]


def test_doctor_takes_a_path_with_blanks(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from eagleray.runtime import haproxy_launch

    program = haproxy_launch.binary()
    if program is None:
        pytest.skip("no HAProxy for this platform")
    home.mkdir()
    spaced = home / "a folder's haproxy"
    spaced.symlink_to(program)
    monkeypatch.setattr(haproxy_launch, "binary", lambda: str(spaced))
    (found,) = (check for check in checks(Settings(home=home)) if check.name == "haproxy")
    assert found.ok, found.line()


def test_doctor_names_the_cure(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("eagleray.runtime.doctor._DISK_BYTES", 1 << 60)
    settings = Settings(home=home, redis_url="redis://:secret@127.0.0.1:1/0", ray_address="127.0.0.1:1")
    found = {check.name: check for check in checks(settings)}
    assert not found["redis"].ok
    assert "EAGLERAY_REDIS_URL" in found["redis"].cure
    assert not found["ray cluster"].ok
    assert not found["disk"].ok
    assert "secret" not in "".join(check.line() for check in found.values())
    assert found["disk"].line().startswith("fix  disk: ")


def test_features_of_a_store(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], home: Path) -> None:
    from eagleray import Entity, FeatureSet, FeatureStore

    cards = FeatureSet("cards", entities=[Entity("card_id")], timestamp="ts", schema={"limit": "float64"}, owner="risk")
    with FeatureStore(Settings(home=home)) as store:
        store.apply(cards)
    assert run(monkeypatch, "features", "list", "--json") == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert (row["name"], row["entities"], row["owner"]) == ("cards", ["card_id"], "risk")
    assert run(monkeypatch, "features", "show", "cards") == 0
    assert "limit: float64" in capsys.readouterr().out
