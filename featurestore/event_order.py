"""The order of events: by key, then time, then offset."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Int64s = NDArray[np.int64]
_BITS = 63


def event_order(codes: Int64s, ts_us: Int64s, offsets: Int64s) -> NDArray[np.intp]:
    """The positions that sort events by (code, ts, offset); codes are not negative.

    Key and time share one integer where both fit, which sorts some eight times as fast as three columns do.
    """
    if not len(codes):
        return np.zeros(0, dtype=np.intp)
    since = int(ts_us.min())
    width = (int(ts_us.max()) - since).bit_length()
    if width + int(codes.max()).bit_length() > _BITS:
        return np.lexsort((offsets, ts_us, codes))
    packed = (codes << width) | (ts_us - since)
    order = np.argsort(packed)
    ordered = packed[order]
    tied = ordered[1:] == ordered[:-1]
    if tied.any():
        inside = np.flatnonzero(np.append(tied, False) | np.append(False, tied))
        part = order[inside]
        order[inside] = part[np.lexsort((offsets[part], packed[part]))]
    return order
