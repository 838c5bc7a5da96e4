"""What a decorated function asks for, and how those wishes are written and checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypedDict

from ...runtime.call_options import CallOptions
from ...runtime.errors import DefinitionError, did_you_mean
from ...runtime.retries import Retries
from ...runtime.secret import Secret
from ...runtime.units import size_bytes

if TYPE_CHECKING:
    from ...autoscaling.scale import Scale


class Options(TypedDict, total=False):
    """The keywords of `@function(...)` and of `.options(...)`; every one may be left out.

    `name` (default: the function's own), `cpus` and `gpu` (a share of one, or whole ones) a call needs, `memory`
    ("2Gi" or bytes), `custom` (amounts of named resources), `packages` (requirements installed for the call),
    `retries` (a `Retries`, or how often a call whose worker was lost runs again), `timeout_s` (a call that takes longer
    is ended and raises `TimeoutError`), `concurrency` (at most so many calls at once), `init` (a class's constructor
    arguments), `secrets` (environment variables while a call runs), `scale` (for endpoints).
    """

    name: str
    cpus: float
    gpu: float
    memory: str | int
    custom: Mapping[str, float]
    packages: Sequence[str]
    retries: int | Retries
    timeout_s: float | None
    concurrency: int | None
    init: Mapping[str, Any]
    secrets: Sequence[Secret]
    scale: Scale | None


@dataclass(frozen=True, slots=True)
class FunctionSpec(CallOptions):
    """What one function asks for; `scale` None means one replica when deployed."""

    scale: Scale | None = None
    init: Mapping[str, Any] = field(default_factory=dict, hash=False)
    secrets: tuple[Secret, ...] = ()

    def __post_init__(self) -> None:
        CallOptions.__post_init__(self)
        object.__setattr__(self, "init", MappingProxyType(dict(self.init)))
        given: tuple[object, ...] = tuple(self.secrets)
        if not all(isinstance(secret, Secret) for secret in given):
            raise DefinitionError(
                f'{self.name}: secrets takes Secret("name"), names of what `eagleray secret set` keeps'
            )
        object.__setattr__(self, "secrets", given)

    def __reduce__(self) -> tuple[Any, ...]:
        fields = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return (_made, ({**fields, "init": dict(self.init)},))

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


def _made(fields: dict[str, Any]) -> FunctionSpec:
    return FunctionSpec(**fields)
