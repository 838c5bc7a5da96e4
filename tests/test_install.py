"""The install script's own parts; a whole install is what `make` runs."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).resolve().parents[1] / ".ci" / "install.py"


@pytest.fixture(scope="module")
def install() -> ModuleType:
    spec = importlib.util.spec_from_file_location("install_script", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("Collecting ray[data,serve,tune]<3,>=2.60 (from eagleray==0.1.0)", "ray"),
        ("  Downloading scikit_learn-1.7.2-cp311-cp311-manylinux.whl (9.7 MB)", "scikit_learn"),
        ("Downloading polars (41.2MiB)", "polars"),
        (" + xgboost==3.2.0", "xgboost"),
        ("Requirement already satisfied: numpy>=2 in x", "numpy"),
        ("Installing collected packages: a, b, c", "unpacking 3 packages"),
        ("Resolved 171 packages in 90ms", "Resolved 171 packages in 90ms"),
        ("  warning: something else", None),
    ],
)
def test_the_package_being_handled(install: ModuleType, line: str, expected: str | None) -> None:
    assert install.package_of(line) == expected


@pytest.mark.parametrize(
    ("log", "cure"),
    [
        ("OSError: [Errno 28] No space left on device", "free some 5 GB"),
        ("ERROR: No matching distribution found for ray", "is this Python supported"),
        ("Read timed out.", "check the network"),
        ("something unheard of", "read the log"),
    ],
)
def test_a_failure_names_its_cure(install: ModuleType, log: str, cure: str) -> None:
    assert cure in install.cure_of(log)


def test_an_old_python_is_told(install: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 9, 1))
    with pytest.raises(install.InstallError, match=r"this is Python 3\.9\.1; eagleray needs 3\.11"):
        install.install(tmp_path / "venv")
    assert not (tmp_path / "venv").exists()


def test_a_failed_command_shows_the_logs_end(install: ModuleType, tmp_path: Path) -> None:
    log = tmp_path / "install.log"
    code = "for n in range(40): print('line', n)\nraise SystemExit(3)"
    with pytest.raises(install.InstallError, match="line 39") as caught:
        install.run([sys.executable, "-c", code], log, install.Progress())
    assert "line 24" not in str(caught.value)
    assert "line 0" in log.read_text()


def test_a_strange_folder_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "precious.txt").write_text("mine")
    done = subprocess.run([sys.executable, str(SCRIPT), str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "is no environment of ours" in done.stderr
    assert (tmp_path / "precious.txt").exists()


def test_usage() -> None:
    done = subprocess.run([sys.executable, str(SCRIPT)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (2, "usage: python .ci/install.py VENV\n")
