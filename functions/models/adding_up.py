"""An explanation is only as good as its sum: the parts of a row must add up to what they explain."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ...runtime.errors import EaglerayError

TOLERANCE = 1e-4


def adding_up(
    parts: npt.NDArray[np.float64], margins: npt.NDArray[np.floating], *, model: str
) -> npt.NDArray[np.float64]:
    """The parts (rows x (features + 1), the base value last) as they are; raises `EaglerayError` if they do not add up.

    A row may be off by 1e-4, or by 1e-4 of its largest part: the libraries add in single precision.
    """
    gap = np.abs(parts.sum(axis=1) - margins)
    if (gap <= TOLERANCE).all():  # nearly always, and told in a third of the time
        return parts
    scale = np.maximum(np.abs(parts).max(axis=1), 1.0)
    known = np.isfinite(margins)  # what is no number cannot be added up to
    off = np.where(known, gap / scale, 0.0)
    worst = int(np.argmax(off))  # argmax finds a NaN first
    if not off[worst] <= TOLERANCE:
        raise EaglerayError(
            f"the contributions of {model} add up to {parts[worst].sum():.6g} where it says {margins[worst]:.6g}: "
            "does it give the same score for the same row every time? Leave the explanation out otherwise"
        )
    return parts
