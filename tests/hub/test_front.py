"""The hub as people use it: by name from the wheel, from a folder of their own, and by words."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from eagleray import hub
from eagleray.functions.function import Function
from eagleray.hub.ranking import ranked
from eagleray.runtime.errors import DefinitionError, HubItemNotFound, InputError
from eagleray.runtime.settings import Settings

ITEM = """name: double
summary: Doubles a number
version: "2.1.0"
entry: function:double
tags: [numbers]
"""
CODE = """
from eagleray import function
from .factor import FACTOR

@function
def double(x):
    return FACTOR * x

plain = print
"""


@pytest.fixture
def shelf(tmp_path: Path) -> Path:
    folder = tmp_path / "shelf" / "double"
    folder.mkdir(parents=True)
    (folder / "item.yaml").write_text(ITEM)
    (folder / "function.py").write_text(CODE)
    (folder / "factor.py").write_text("FACTOR = 2\n")
    return folder.parent


def test_the_library_is_listed_and_loads() -> None:
    names = [item.name for item in hub.list()]
    assert {"automl", "describe", "score"} <= set(names)
    assert names == sorted(names)
    for name in names:
        assert isinstance(hub.load(f"hub://{name}"), Function)
        assert hub.show(f"hub://{name}").name == name
        folder = Path(hub.__file__).parent / "library" / name
        files = ("__init__.py", "function.py", "item.yaml", "example.py")
        assert all((folder / file).exists() for file in files)


@pytest.mark.parametrize("address", ["hub://describe", "describe", "hub://describe@1.0.0"])
def test_addresses(address: str) -> None:
    assert hub.load(address).__name__ == "describe"


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("hub://descibe", "no hub item 'descibe'; did you mean 'describe'"),
        ("hub://describe@9.0.0", "of version 9.0.0: this shelf has 1.0.0"),
        ("hub://../../etc", "is no hub address"),
        ("http://describe", "is no hub address"),
        ("..", "no hub item"),
    ],
)
def test_an_unknown_address_says_the_nearest(address: str, message: str) -> None:
    with pytest.raises(HubItemNotFound, match=message):
        hub.load(address)


def test_a_folder_of_ones_own(shelf: Path, ray_cluster: Settings) -> None:
    double = hub.load("hub://double@2.1.0", shelf=shelf)
    assert double(4) == 8
    assert list(double.map([1, 2])) == [2, 4]  # the worker knows nothing of the folder
    assert [item.version for item in hub.list(shelf=shelf)] == ["2.1.0"]
    assert hub.search("numb", shelf=str(shelf))[0].name == "double"


def test_a_wrong_entry_says_so(shelf: Path) -> None:
    card = shelf / "double" / "item.yaml"
    card.write_text(ITEM.replace("function:double", "function:plain"))
    with pytest.raises(DefinitionError, match="is no @function"):
        hub.load("double", shelf=shelf)
    card.write_text(ITEM.replace("function:double", "missing:double"))
    with pytest.raises(DefinitionError, match="does not import"):
        hub.load("double", shelf=shelf)
    with pytest.raises(InputError, match="no shelf at"):
        hub.load("double", shelf=shelf / "nowhere")


def test_search_by_words() -> None:
    assert [item.name for item in hub.search("model")][:1] != ["describe"]
    assert hub.search("statistics columns")[0].name == "describe"
    assert hub.search("AUTOML")[0].name == "automl"
    assert hub.search("no such thing") == []
    assert ranked(hub.list(), "") == hub.list()


def test_the_hub_opens_without_heavy_libraries() -> None:
    code = (
        "import sys; from eagleray import hub; hub.list(); hub.search('model')\n"
        "assert not {'ray', 'polars', 'numpy', 'mlflow', 'xgboost'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_example_of_describe_runs(capsys: pytest.CaptureFixture[str]) -> None:
    path = Path(hub.__file__).parent / "library" / "describe" / "example.py"
    exec(compile(path.read_text(), str(path), "exec"), {"__name__": "example", "pl": pl})
    assert "amount" in capsys.readouterr().out
