"""What a call needs and what may happen to it: the part of a function's wishes that its worker must know."""

from __future__ import annotations

from dataclasses import dataclass, field

from .errors import DefinitionError
from .resources import Resources
from .retries import Retries


@dataclass(frozen=True, slots=True)
class CallOptions:
    """`timeout_s` None means no limit; `concurrency` None means as many at once as the cluster has room for."""

    name: str
    resources: Resources = field(default_factory=Resources)
    retries: Retries = field(default_factory=Retries)
    timeout_s: float | None = None
    packages: tuple[str, ...] = ()
    concurrency: int | None = None

    def __post_init__(self) -> None:
        if not self.name:
            raise DefinitionError("a function's name is empty: leave it out, or give one")
        wanted: object = self.retries  # a number stands for that many attempts
        if not isinstance(wanted, Retries):
            try:
                object.__setattr__(self, "retries", Retries(wanted))  # type: ignore[arg-type] # checked there
            except DefinitionError as error:
                raise DefinitionError(f"{self.name}: {error}") from None
        if self.timeout_s is not None and not self.timeout_s > 0:
            raise DefinitionError(
                f"{self.name}: timeout_s={self.timeout_s!r}; give seconds above 0, or None for no limit"
            )
        given: object = self.concurrency
        if given is not None and (isinstance(given, bool) or not isinstance(given, int) or given < 1):
            raise DefinitionError(f"{self.name}: concurrency={given!r}; give a whole number from 1, or None")
        listed: object = self.packages  # a caller without a type checker may hand in one string
        if isinstance(listed, str) or not all(isinstance(package, str) for package in self.packages):
            raise DefinitionError(f"{self.name}: packages={self.packages!r}; give a list like ['lightgbm>=4']")
        object.__setattr__(self, "packages", tuple(self.packages))
