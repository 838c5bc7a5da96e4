"""The order of events: by key, then time, then offset."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Int64s = NDArray[np.int64]
_BITS = 63


def event_order(codes: Int64s, ts_us: Int64s, offsets: Int64s) -> NDArray[np.intp]:
    """The positions that sort events by (code, ts, offset); codes are not negative."""
    packed = pair(codes, ts_us)
    if packed is None:
        return np.lexsort((offsets, ts_us, codes))
    order = np.argsort(packed)
    ordered = packed[order]
    tied = ordered[1:] == ordered[:-1]
    if tied.any():
        inside = np.flatnonzero(np.append(tied, False) | np.append(False, tied))
        part = order[inside]
        order[inside] = part[np.lexsort((offsets[part], packed[part]))]
    return order


def pair(codes: Int64s, numbers: Int64s) -> Int64s | None:
    """Both as one number that ascends with (code, number), None where they do not fit; codes are not negative.

    One integer sorts some eight times as fast as two columns do.
    """
    if not len(codes):
        return codes
    since = int(numbers.min())
    width = (int(numbers.max()) - since).bit_length()
    if width + int(codes.max()).bit_length() > _BITS:
        return None
    packed: Int64s = (codes << width) | (numbers - since)
    return packed
