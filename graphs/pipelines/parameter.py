"""A pipeline's parameter: its name, its type and its default."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from ...runtime.errors import DefinitionError
from .hints import fits, named


class _NoDefault:
    """Its one value says that there is none; it stays the same one on its way through a pickle."""

    def __repr__(self) -> str:
        return "no default"

    def __reduce__(self) -> str:
        return "NO_DEFAULT"


NO_DEFAULT: Final = _NoDefault()


@dataclass(frozen=True, slots=True)
class Parameter:
    """What a run is given; `hint` is `Any` where no type is known."""

    name: str
    hint: Any = Any
    default: object = NO_DEFAULT

    @property
    def required(self) -> bool:
        """True where every run must name it."""
        return self.default is NO_DEFAULT

    def checked(self, pipeline: str, given: dict[str, object]) -> object:
        """Its value in a run; raises `DefinitionError`."""
        if self.name not in given:
            if self.required:
                raise DefinitionError(f"{pipeline} needs its parameter {self.name!r}: run({self.name}=...)")
            return self.default
        value = given[self.name]
        if not fits(type(value), self.hint):
            raise DefinitionError(f"{pipeline}: {self.name}={value!r} is no {named(self.hint)}")
        return value
