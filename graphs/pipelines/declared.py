"""What a pipeline is to those who check and run it."""

from __future__ import annotations

from typing import Protocol

from .node import Node
from .parameter import Parameter


class Named(Protocol):
    """A pipeline as its references know it: by its name, and as the very object."""

    name: str


class Declared(Named, Protocol):
    """A pipeline as it was written."""

    @property
    def nodes(self) -> tuple[Node, ...]: ...

    @property
    def parameters(self) -> tuple[Parameter, ...]: ...

    def checked(self, given: dict[str, object]) -> dict[str, object]: ...
