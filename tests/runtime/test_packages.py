"""Packages on a worker, installed from the registry for real."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from eagleray.functions.function import function
from eagleray.runtime.errors import DefinitionError
from eagleray.runtime.packages import _program, installed
from eagleray.runtime.settings import Settings

OTHER = "iniconfig==2.0.0"  # pytest needs it, so the environment has it, in another version


@pytest.fixture(scope="module")
def registry() -> None:
    """Tells a machine without a package registry from one where installing is broken."""
    command = [_program(), "pip", "install", "--dry-run", "--python", sys.executable, OTHER]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if "Would install" not in done.stderr:
        pytest.skip(f"no package registry: {done.stderr.strip()[:200]}")


@function(cpus=0.5, packages=[OTHER])
def version_there() -> str:
    from importlib.metadata import version

    return version("iniconfig")


@function(cpus=0.5, packages=[OTHER])
class Versions:
    def setup(self) -> None:
        self.found = version_there()

    def predict(self, item: int) -> str:
        return self.found


def test_only_what_is_missing_is_installed_and_once(registry: None, tmp_path: Path) -> None:
    folder = installed([OTHER], tmp_path)
    assert {one.name for one in folder.iterdir() if one.is_dir()} >= {"iniconfig", "iniconfig-2.0.0.dist-info"}
    made_at = folder.stat().st_mtime_ns
    assert installed([OTHER], tmp_path) == folder
    assert folder.stat().st_mtime_ns == made_at
    assert not any(one.is_dir() for one in installed(["pytest"], tmp_path).iterdir())  # the environment has it


def test_a_package_nobody_has_is_told_in_one_line(registry: None, tmp_path: Path) -> None:
    with pytest.raises(DefinitionError, match=r"no-such-package-xyz-123.*: correct @function\(packages=") as caught:
        installed(["no-such-package-xyz-123"], tmp_path)
    assert "\n" not in str(caught.value)
    assert not [one for one in (tmp_path / "packages").iterdir() if one.is_dir()]


def test_functions_and_classes_have_them_on_ray(registry: None, ray_cluster: Settings) -> None:
    import ray

    assert version_there() != "2.0.0"
    assert ray.get(version_there.remote()) == "2.0.0"
    versions = Versions  # its workers are others than those of plain functions
    assert list(versions.map([1, 2])) == ["2.0.0", "2.0.0"]  # type: ignore[attr-defined]
    versions.close()  # type: ignore[attr-defined]
    assert ray.get(version_there.options(packages=[]).remote()) != "2.0.0"
    with pytest.raises(DefinitionError, match="packages cannot be installed: "):
        ray.get(version_there.options(packages=["no-such-package-xyz-123"]).remote())
