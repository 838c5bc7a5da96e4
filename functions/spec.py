"""What a decorated function asks for, and how those wishes are written and checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypedDict

from ..runtime.errors import DefinitionError, did_you_mean
from ..runtime.resources import Resources
from ..runtime.units import size_bytes

if TYPE_CHECKING:
    from ..autoscaling.scale import Scale

DEFAULT_RETRIES = 3


class Options(TypedDict, total=False):
    """The keywords of `@function(...)` and of `.options(...)`; every one may be left out.

    `name` (default: the function's own), `cpus` and `gpu` (a share of one, or whole ones) a call needs, `memory`
    ("2Gi" or bytes), `custom` (amounts of named resources), `packages` (requirements installed for the call),
    `retries` (how often a call whose worker was lost runs again), `timeout_s` (a call that takes longer raises
    `TimeoutError`), `scale` (for endpoints).
    """

    name: str
    cpus: float
    gpu: float
    memory: str | int
    custom: Mapping[str, float]
    packages: Sequence[str]
    retries: int
    timeout_s: float | None
    scale: Scale | None


@dataclass(frozen=True, slots=True)
class FunctionSpec:
    """What one function asks for; `timeout_s` None means no limit, `scale` None means one replica when deployed."""

    name: str
    resources: Resources = field(default_factory=Resources)
    retries: int = DEFAULT_RETRIES
    timeout_s: float | None = None
    packages: tuple[str, ...] = ()
    scale: Scale | None = None

    def __post_init__(self) -> None:
        if not self.name:
            raise DefinitionError("a function's name is empty: leave it out, or give one")
        if isinstance(self.retries, bool) or not isinstance(self.retries, int) or self.retries < 0:
            raise DefinitionError(f"{self.name}: retries={self.retries!r}; give a whole number, 0 for none")
        if self.timeout_s is not None and not self.timeout_s > 0:
            raise DefinitionError(
                f"{self.name}: timeout_s={self.timeout_s!r}; give seconds above 0, or None for no limit"
            )
        given: object = self.packages  # a caller without a type checker may hand in one string
        if isinstance(given, str) or not all(isinstance(package, str) for package in self.packages):
            raise DefinitionError(f"{self.name}: packages={self.packages!r}; give a list like ['lightgbm>=4']")
        object.__setattr__(self, "packages", tuple(self.packages))

    def changed(self, options: Options) -> FunctionSpec:
        """A copy with what `options` names; raises `DefinitionError` for a keyword nobody knows or a wrong value."""
        unknown = set(options) - set(Options.__annotations__)
        if unknown:
            name = sorted(unknown)[0]
            raise DefinitionError(f"{self.name}: no option {name!r}{did_you_mean(name, Options.__annotations__)}")
        needs: dict[str, Any] = {name: value for name, value in options.items() if name in {"cpus", "gpu", "custom"}}
        if "memory" in options:
            needs["memory_bytes"] = size_bytes(options["memory"])
        rest: dict[str, Any] = {name: value for name, value in options.items() if name not in {*needs, "memory"}}
        return replace(self, resources=replace(self.resources, **needs), **rest)
