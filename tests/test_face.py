"""The root: one list of public names, each importable, and nothing heavy loaded by `import eagleray`."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import eagleray

ROOT = Path(__file__).resolve().parents[1]
IMPORT_LIMIT_S = 0.5
# `import eagleray` loads none of these ...
HEAVY = (
    *("ray", "redis", "mlflow", "flaml", "whylogs", "fastapi", "polars", "numpy", "pyarrow", "pandas"),
    *("sqlalchemy", "deltalake", "sklearn", "xgboost", "lightgbm", "typer", "rich"),
)
# ... and looking at every public name none of these.
HEAVY_FOR_NAMES = ("ray", "redis", "mlflow", "flaml", "whylogs", "fastapi", "xgboost", "lightgbm", "sklearn")


def test_the_public_face_is_one_list() -> None:
    """__all__ is sorted, and names exactly what the lazy table and the type checker's imports name."""
    names, homes, modules = eagleray.__all__, eagleray._HOMES, eagleray._MODULES
    assert names == sorted(names), f"__init__.py: sort __all__: {sorted(names)}"
    assert len(names) == len(set(names)), "__init__.py: __all__ names something twice"
    differ = set(names) ^ {*homes, *modules}
    assert not differ, f"__init__.py: __all__ and the lazy table differ in {differ}"
    body = ast.parse((ROOT / "__init__.py").read_text(encoding="utf-8")).body
    block = next(node for node in body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING")
    typed: dict[str, str] = {}
    for node in block.body:
        assert isinstance(node, ast.ImportFrom), f"__init__.py:{node.lineno}: only imports belong here"
        typed |= {alias.name: str(node.module) for alias in node.names}
    table = homes | {name: module.rpartition(".")[0] for name, module in modules.items()}
    assert typed == table, f"__init__.py: the checker's imports and the table differ: {typed.items() ^ table.items()}"


@pytest.mark.parametrize("name", sorted(eagleray.__all__))
def test_public_name_is_importable(name: str) -> None:
    value = getattr(eagleray, name)
    if name in eagleray._HOMES:
        assert value is getattr(import_module(eagleray._HOMES[name]), name)
    else:
        assert value is sys.modules[eagleray._MODULES[name]]
    assert name in dir(eagleray)
    assert value.__doc__, f"{name} has no docstring; say in one sentence what it is"


def test_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = eagleray.nonsense  # type: ignore[attr-defined]


def fresh(statement: str, heavy: tuple[str, ...]) -> tuple[float, list[str]]:
    """Seconds that `statement` takes in a new Python, and which heavy modules it loaded."""
    code = (
        "import json, sys, time\n"
        f"start = time.perf_counter()\n{statement}\nspent = time.perf_counter() - start\n"
        f"print(json.dumps([spent, [name for name in {heavy!r} if name in sys.modules]]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT.parent)
    spent_s, loaded = json.loads(done.stdout)
    return spent_s, loaded


def test_import_is_light() -> None:
    """`import eagleray` takes < 0.5 s (best of three) and loads no heavy library."""
    runs = [fresh("import eagleray", HEAVY) for _ in range(3)]
    assert runs[0][1] == [], f"`import eagleray` loads {runs[0][1]}; import them inside the function that needs them"
    best_s = min(spent_s for spent_s, _ in runs)
    assert best_s < IMPORT_LIMIT_S, f"`import eagleray` takes {best_s:.2f} s; see `python -X importtime`"


def test_public_names_are_light() -> None:
    """`from eagleray import *` loads no server's or trainer's library."""
    _, loaded = fresh("from eagleray import *", HEAVY_FOR_NAMES)
    cure = "import the adapter inside the function that chooses it"
    assert loaded == [], f"`from eagleray import *` loads {loaded}; {cure}"
