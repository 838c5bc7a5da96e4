"""The main job in a small form, stage by stage, and what a Ctrl-C in the middle of it leaves behind: nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from eagleray import FeatureStore, InputError, Settings, StorageError
from eagleray.examples.fraud import demo
from eagleray.examples.fraud.fresh import fresh_home
from eagleray.examples.fraud.scenarios import FraudPace
from eagleray.examples.fraud.simulator import SimulatorSize
from eagleray.examples.fraud.stages import Stages

SMALLEST = SimulatorSize(
    customers=200,
    terminals=150,
    days=50,
    radius=15.0,
    pace=FraudPace(terminals=1, terminal_every_days=3, customers=1, customer_every_days=1),
)


@pytest.mark.timeout(300)
# MLflow's own use of what SQLAlchemy has deprecated.
@pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SADeprecationWarning")
@pytest.mark.filterwarnings("ignore::DeprecationWarning:mlflow")
def test_every_stage_holds(serving: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = Settings(home=tmp_path / "home")
    stages = Stages()
    with FeatureStore(settings) as store:
        found = demo.run(store, SMALLEST, stages, budget_s=4)
    assert stages.broken == []
    assert found["held"]
    assert list(stages.seconds) == [
        "data", "history", "stream", "train", "deploy", "serve", "monitor", "explain", "scale",
    ]  # fmt: skip
    assert found["skew"].startswith("0 of ")
    assert "amount" in found["drift"]
    assert found["average_precision"] > 0.3
    assert "| average precision" in demo.summary_table(found)
    assert "ok scale" in capsys.readouterr().err


def test_ctrl_c_leaves_nothing_behind(tmp_path: Path) -> None:
    home = tmp_path / "a home"
    environment = {**os.environ, "EAGLERAY_HOME": str(home)}
    command = [sys.executable, "-m", "eagleray.cli", "demo"]
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as ran:
        assert ran.stderr is not None
        while "ok history" not in ran.stderr.readline():
            assert ran.poll() is None
        ran.send_signal(signal.SIGINT)
        told = ran.communicate(timeout=60)
    assert ran.returncode == 130
    assert "Traceback" not in "".join(told)
    assert using(home) == []


def test_two_demos_do_not_share_a_home(tmp_path: Path) -> None:
    with fresh_home(tmp_path) as home:
        home.mkdir()
        (home / "left").touch()
        with pytest.raises(InputError, match="another demo runs"), fresh_home(tmp_path):
            pass
    with fresh_home(tmp_path) as home:
        assert not home.exists()
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match="set EAGLERAY_HOME"), fresh_home(tmp_path / "file"):
        pass


def using(home: Path) -> list[str]:
    """The processes whose environment names the home."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("EAGLERAY_HOME") == str(home) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(f"{process.pid} {' '.join(process.cmdline())[:120]}")
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return found
