"""What stands for a booster where only a model's own words are asked for: nothing of its bytes is read."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt

from ...runtime.errors import InputError


@dataclass(frozen=True, slots=True)
class Unread:
    """A booster by its bytes alone."""

    data: bytes = field(repr=False)

    def margins(self, rows: npt.NDArray[np.float32]) -> npt.NDArray[Any]:
        """Raises `InputError`."""
        _refuse()

    def contributions(self, rows: npt.NDArray[np.float32]) -> npt.NDArray[Any]:
        """Raises `InputError`."""
        _refuse()


def _refuse() -> NoReturn:
    raise InputError(
        "this model was only looked at, so it does not predict: load it with ModelRegistry().load(address)"
    )
