"""What one worker or one replica asks of the cluster."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from .errors import DefinitionError

_RESERVED = {"cpu": "cpus", "gpu": "gpu", "memory": "memory_bytes", "object_store_memory": "memory_bytes"}


@dataclass(frozen=True, slots=True)
class Resources:
    """`cpus` (fractions allowed), `gpu` (a share below 1, or whole GPUs), memory in bytes, and named custom amounts.

    They are what the scheduler books, not a limit it enforces. Raises `DefinitionError` for an amount that no
    machine can give.
    """

    cpus: float = 1.0
    gpu: float = 0.0
    memory_bytes: int = 0
    custom: Mapping[str, float] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        for name, amount in (("cpus", self.cpus), ("gpu", self.gpu), ("memory_bytes", self.memory_bytes)):
            if not _is_amount(amount):
                raise DefinitionError(f"{name}={amount!r} is no amount: give a number that is not negative")
        if self.gpu > 1 and self.gpu != int(self.gpu):
            raise DefinitionError(f"gpu={self.gpu:g} mixes whole GPUs and a share: give a share up to 1, or whole GPUs")
        for name, amount in self.custom.items():
            if name.lower() in _RESERVED:
                raise DefinitionError(
                    f"custom resource {name!r} has a field of its own: use {_RESERVED[name.lower()]}="
                )
            if not _is_amount(amount):
                raise DefinitionError(f"custom resource {name!r}={amount!r} is no amount: give a number, not negative")
        object.__setattr__(self, "custom", MappingProxyType(dict(self.custom)))

    def __reduce__(self) -> tuple[type[Resources], tuple[float, float, int, dict[str, float]]]:
        return (Resources, (self.cpus, self.gpu, self.memory_bytes, dict(self.custom)))

    def as_dict(self) -> dict[str, Any]:
        """As plain types; `Resources(**it)` reads them back."""
        fields = {"cpus": self.cpus, "gpu": self.gpu, "memory_bytes": self.memory_bytes}
        return {**fields, "custom": dict(self.custom)}

    def ray_options(self) -> dict[str, object]:
        """The same as Ray's keyword arguments for a task or an actor."""
        options: dict[str, object] = {"num_cpus": self.cpus}
        if self.gpu:
            options["num_gpus"] = self.gpu
        if self.memory_bytes:
            options["memory"] = self.memory_bytes
        if self.custom:
            options["resources"] = dict(self.custom)
        return options


def _is_amount(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and value >= 0
