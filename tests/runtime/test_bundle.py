"""The content hash of a function: the same in every process, another for other code."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import textwrap
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from eagleray.runtime.bundle import code_of, content_hash, is_local, local_modules

SOURCE = """
    import json
    import numpy as np
    import shapes
    from shapes import area

    LIMITS = {"low": 1, "high": {3, 1, 2, "a", "b"}}
    OTHER = 5

    class Box:
        '''A box.'''
        side: int = 2

        def volume(self):
            return self.side ** 3

    def helper(x):
        return x + LIMITS["low"]

    def main(x, scale=2.0):
        import sizes
        if x in {"red", "green", "blue"}:
            return json.dumps(x)
        return np.abs(helper(x)) * scale + area(x) + shapes.PI + Box().volume() + sizes.SMALL
"""
SHAPES = """
    import units_of
    PI = 3
    def area(r):
        return PI * r * r
"""


def write(folder: Path, **changes: str) -> Path:
    """A small project whose `main` uses a helper, a class, a constant and two local modules."""
    folder.mkdir(exist_ok=True)
    texts = {"app": SOURCE, "shapes": SHAPES, "units_of": "CM = 1\n", "sizes": "SMALL = 1\n"}
    for name, text in (texts | changes).items():
        (folder / f"{name}.py").write_text(textwrap.dedent(text))
    return folder


def hash_in_new_process(folder: Path, seed: int) -> str:
    code = "import app; from eagleray.runtime.bundle import content_hash; print(content_hash(app.main))"
    env = {"PYTHONPATH": str(folder), "PYTHONHASHSEED": str(seed), "PATH": ""}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> str:
    return hash_in_new_process(write(tmp_path_factory.mktemp("base") / "project"), seed=1)


def test_the_hash_is_stable_across_processes_and_places(base: str, tmp_path: Path) -> None:
    assert len(base) == 64
    assert hash_in_new_process(write(tmp_path / "elsewhere"), seed=2) == base


@pytest.mark.parametrize(
    ("module", "old", "new"),
    [
        ("app", "** 3", "** 4"),  # a method of a class it uses
        ("app", '"low": 1', '"low": 2'),  # a constant behind a helper
        ("app", "scale=2.0", "scale=3.0"),  # a default
        ("shapes", "PI * r", "PI + r"),  # a function of a local module
        ("units_of", "CM = 1", "CM = 2"),  # a module that a local module imports
        ("sizes", "SMALL = 1", "SMALL = 2"),  # a module imported inside the function
    ],
)
def test_other_code_has_another_hash(base: str, tmp_path: Path, module: str, old: str, new: str) -> None:
    texts = {"app": SOURCE, "shapes": SHAPES, "units_of": "CM = 1\n", "sizes": "SMALL = 1\n"}
    assert old in texts[module]
    folder = write(tmp_path / "project", **{module: texts[module].replace(old, new)})
    assert hash_in_new_process(folder, seed=3) != base


def test_what_it_does_not_use_does_not_count(base: str, tmp_path: Path) -> None:
    folder = write(tmp_path / "project", app=SOURCE.replace("OTHER = 5", "OTHER = 6\n\n"), unused="X = 1\n")
    assert hash_in_new_process(folder, seed=4) == base


def load(path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, name, module)
    spec.loader.exec_module(module)
    return module


def test_local_modules_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write(tmp_path / "project")
    monkeypatch.syspath_prepend(folder)
    for name in ("shapes", "units_of", "sizes"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    module = load(folder / "app.py", "app", monkeypatch)
    assert local_modules(module.main) == ("app", "shapes", "sizes", "units_of")
    assert not any(is_local(name) for name in ("json", "numpy", "eagleray.runtime.errors", "no_such_module"))


def test_closures_and_recursion_count() -> None:
    def power(n: int):
        def apply(x: int) -> int:
            return x if n == 0 else apply(x) ** n

        return apply

    assert content_hash(power(2)) == content_hash(power(2))
    assert content_hash(power(2)) != content_hash(power(3))


def test_code_that_was_bound_or_loaded_anew_is_not_current(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "rates.py").write_text("RATE = 2\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "rates", raising=False)
    space: dict[str, Any] = {"__name__": "__main__"}
    cell = "import rates\ndef helper(x):\n    return x\ndef main(x):\n    return helper(x) * rates.RATE + later(x)\n"
    exec(cell, space)
    first = code_of(space["main"])
    assert first.modules == ("rates",)
    assert first.is_current()
    space["unused"] = 1
    assert first.is_current()
    space["later"] = len  # was missing, would be found now
    assert not first.is_current()
    second = code_of(space["main"])
    exec("def helper(x):\n    return -x\n", space)
    assert not second.is_current()
    third = code_of(space["main"])
    assert third.is_current()
    importlib.reload(sys.modules["rates"])
    assert not third.is_current()
