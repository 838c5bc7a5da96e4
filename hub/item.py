"""An item of the hub: what its item.yaml says about a ready-made function."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

from ..runtime.errors import DefinitionError, InputError

CARD = "item.yaml"
_NAME = re.compile(r"[a-z][a-z0-9_]*")
_VERSION = re.compile(r"\d+\.\d+\.\d+")
_ENTRY = re.compile(r"[a-z_][a-z0-9_]*:[A-Za-z_]\w*")
_REQUIREMENT = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)\s*(\[[\w,\s-]+\])?\s*([<>=!~].*)?")


@dataclass(frozen=True, slots=True)
class Item:
    """One item's card; `entry` is "module:function" in the item's folder, `requirements` are what pip would install."""

    name: str
    summary: str
    version: str
    entry: str
    requirements: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        self._check("name", _NAME, "small letters, digits and _")
        self._check("version", _VERSION, "three numbers like '1.0.0'")
        self._check("entry", _ENTRY, "'module:function'")
        if not self.summary.strip():
            raise DefinitionError(f"hub item {self.name!r}: the summary is empty; say in one line what it does")
        for requirement in self.requirements:
            if not _REQUIREMENT.fullmatch(requirement):
                raise DefinitionError(
                    f"hub item {self.name!r}: {requirement!r} is no requirement; write 'package>=1.2'"
                )

    @classmethod
    def read(cls, folder: Path) -> Item:
        """The card of the item in `folder`; raises `DefinitionError` naming the file and what is wrong in it."""
        import yaml

        path = folder / CARD
        try:
            card = yaml.safe_load(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise DefinitionError(f"cannot read {path}: {error.strerror}; every hub item has a {CARD}") from None
        except yaml.YAMLError as error:
            raise DefinitionError(f"{path} is no YAML: {str(error).splitlines()[0]}") from None
        try:
            item = cls(**_fields(card))
        except DefinitionError as error:
            raise DefinitionError(f"{path}: {error}") from None
        if item.name != folder.name:
            raise DefinitionError(
                f"{path}: the name is {item.name!r} and the folder's {folder.name!r}; make them the same"
            )
        return item

    def check_installed(self) -> None:
        """Raises `InputError` naming the command that installs what is missing."""
        missing = []
        for requirement in self.requirements:
            found = _REQUIREMENT.fullmatch(requirement)
            try:
                distribution(found[1] if found else requirement)
            except PackageNotFoundError:
                missing.append(requirement)
        if missing:
            quoted = " ".join(f"'{requirement}'" for requirement in missing)
            raise InputError(f"hub item {self.name!r} needs what is not installed: pip install {quoted}")

    def as_dict(self) -> dict[str, object]:
        """The card as plain values, for JSON."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def _check(self, name: str, pattern: re.Pattern[str], wanted: str) -> None:
        value = getattr(self, name)
        if not isinstance(value, str) or not pattern.fullmatch(value):
            raise DefinitionError(f"hub item {self.name!r}: {name} is {value!r}; it takes {wanted}")


def _fields(card: object) -> dict[str, Any]:
    """A card's values by field, lists as tuples; raises `DefinitionError` for missing, unknown or ill-typed ones."""
    if not isinstance(card, Mapping):
        raise DefinitionError("it holds no fields; write name, summary, version and entry")
    known = {field.name for field in fields(Item)}
    if unknown := sorted(str(name) for name in set(card) - known):
        raise DefinitionError(f"no field {unknown[0]!r}; known: {', '.join(sorted(known))}")
    if missing := [name for name in ("name", "summary", "version", "entry") if name not in card]:
        raise DefinitionError(f"the field {missing[0]!r} is missing")
    out: dict[str, Any] = {}
    for name, value in card.items():
        plural = name in {"requirements", "tags"}
        if plural and not (isinstance(value, list) and all(isinstance(one, str) for one in value)):
            raise DefinitionError(f"{name} is {value!r}; write a list of words")
        if not plural and not isinstance(value, str):
            raise DefinitionError(f"{name} is {value!r}; put it in quotes")
        out[name] = tuple(value) if plural else value
    return out
