"""An item's card: read, checked, and told apart from a wrong one."""

from __future__ import annotations

from pathlib import Path

import pytest

from eagleray.hub.item import Item
from eagleray.runtime.errors import DefinitionError, InputError

CARD = """
name: clean
summary: Cleans a frame
version: "1.0.0"
entry: function:clean
requirements: ["polars>=1"]
tags: [data]
"""


def write(folder: Path, text: str) -> Path:
    folder.mkdir()
    (folder / "item.yaml").write_text(text)
    return folder


def test_a_card_is_read(tmp_path: Path) -> None:
    item = Item.read(write(tmp_path / "clean", CARD))
    assert item == Item("clean", "Cleans a frame", "1.0.0", "function:clean", ("polars>=1",), ("data",))
    assert item.as_dict()["tags"] == ("data",)
    item.check_installed()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('version: "1.0.0"', "version: 1.0", "put it in quotes"),
        ('version: "1.0.0"', 'version: "1"', "three numbers"),
        ("entry: function:clean", "", "the field 'entry' is missing"),
        ("entry: function:clean", "entry: ../x:clean", "it takes 'module:function'"),
        ("tags: [data]", "tags: data", "write a list"),
        ("tags: [data]", "colour: red", "no field 'colour'"),
        ("summary: Cleans a frame", 'summary: ""', "the summary is empty"),
        ("polars>=1", "polars; rm", "is no requirement"),
        ("name: clean", "name: other", "make them the same"),
        (CARD, "- a list", "it holds no fields"),
        (CARD, "name: [", "is no YAML"),
    ],
)
def test_a_wrong_card_says_the_cure_and_its_file(tmp_path: Path, old: str, new: str, message: str) -> None:
    folder = write(tmp_path / "clean", CARD.replace(old, new))
    with pytest.raises(DefinitionError, match=message) as caught:
        Item.read(folder)
    assert str(folder / "item.yaml") in str(caught.value)
    assert "\n" not in str(caught.value)


def test_no_card(tmp_path: Path) -> None:
    with pytest.raises(DefinitionError, match="every hub item has"):
        Item.read(tmp_path)


def test_a_missing_package_names_the_command() -> None:
    item = Item("x", "y", "1.0.0", "a:b", ("no-such-package-here>=2",))
    with pytest.raises(InputError, match="pip install 'no-such-package-here>=2'"):
        item.check_installed()
