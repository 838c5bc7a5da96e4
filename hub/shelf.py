"""A shelf: a folder of hub items, the library inside the wheel or one of the user's own."""

from __future__ import annotations

import hashlib
import sys
from dataclasses import dataclass
from importlib import import_module
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

from ..functions.function import Function
from ..runtime.errors import DefinitionError, HubItemNotFound, InputError, did_you_mean
from .item import CARD, Item


@dataclass(frozen=True, slots=True)
class Shelf:
    """Items by name. `package` is the Python name that `folder` has; code of an item runs only when it is loaded."""

    folder: Path
    package: str

    @classmethod
    def library(cls) -> Shelf:
        """The shelf that comes with eagleray."""
        return cls(Path(__file__).parent / "library", f"{__package__}.library")

    @classmethod
    def of(cls, folder: Path | str) -> Shelf:
        """A folder with one folder per item; raises `InputError` when there is none."""
        path = Path(folder).expanduser().resolve()
        if not path.is_dir():
            raise InputError(f"no shelf at {path}: name a folder that holds one folder per item")
        # The name bears the place: two shelves may hold an item of the same name.
        return cls(path, f"hub_shelf_{hashlib.sha256(str(path).encode()).hexdigest()[:12]}")

    def names(self) -> list[str]:
        """The names of all items, sorted."""
        return sorted(card.parent.name for card in self.folder.glob(f"*/{CARD}"))

    def items(self) -> list[Item]:
        """Every item's card, by name; raises `DefinitionError` for a wrong card."""
        return [Item.read(self.folder / name) for name in self.names()]

    def item(self, name: str) -> Item:
        """One item's card; raises `HubItemNotFound`, which suggests the nearest name."""
        known = self.names()
        if name not in known:
            raise HubItemNotFound(f"no hub item {name!r}{did_you_mean(name, known)}")
        return Item.read(self.folder / name)

    def function(self, name: str) -> Function[..., Any]:
        """The item's function, ready to call; raises `HubItemNotFound`, `InputError` or `DefinitionError`."""
        item = self.item(name)
        item.check_installed()
        self._announce()
        module, _, attribute = item.entry.partition(":")
        try:
            found = getattr(import_module(f"{self.package}.{name}.{module}"), attribute, None)
        except ModuleNotFoundError as error:
            raise DefinitionError(f"hub item {name!r}: its entry {item.entry!r} does not import: {error}") from error
        if not isinstance(found, Function):
            raise DefinitionError(f"hub item {name!r}: {item.entry!r} is no @function; decorate it")
        return found

    def _announce(self) -> None:
        """Gives a user's folder its Python name, so that its items import each other's files as in a package."""
        if self.package in sys.modules or self.package.startswith(f"{__package__}."):
            return
        module = ModuleType(self.package)
        spec = ModuleSpec(self.package, None, is_package=True)
        spec.submodule_search_locations = [str(self.folder)]
        module.__spec__, module.__path__ = spec, [str(self.folder)]
        sys.modules[self.package] = module
