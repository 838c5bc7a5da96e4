"""Where in a sorted history a key's events reach a moment: one search for any number of questions."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Int64s = NDArray[np.int64]


class Places:
    """Events sorted by (key, ts); `begins` tells where each key's begin, and has one entry more than there are keys."""

    def __init__(self, begins: Int64s, ts_us: Int64s) -> None:
        self._first_us = int(ts_us.min()) if len(ts_us) else 0
        span = (int(ts_us.max()) if len(ts_us) else 0) - self._first_us + 2
        # Key and moment as one number; moments so far apart that it has no room are replaced by their ranks.
        self._known = np.unique(ts_us) if span * len(begins) >= 2**62 else None
        self._span = span if self._known is None else len(self._known) + 1
        keys = np.repeat(np.arange(len(begins) - 1), np.diff(begins))
        self._sorted = keys * self._span + self._moments(ts_us)

    def reached(self, codes: Int64s, moments_us: Int64s) -> Int64s:
        """The place of each asked key's first event at or after its moment; 0 for the code -1, a key without events."""
        asked = codes * self._span + self._moments(moments_us)
        if bool((asked[1:] >= asked[:-1]).all()):
            return np.searchsorted(self._sorted, asked)
        order = np.argsort(asked)  # neighbours look at the same memory: several times faster
        found = np.empty(len(asked), dtype=np.int64)
        found[order] = np.searchsorted(self._sorted, asked[order])
        return found

    def _moments(self, ts_us: Int64s) -> Int64s:
        if self._known is not None:
            return np.searchsorted(self._known, ts_us)
        return np.clip(ts_us, self._first_us, self._first_us + self._span - 1) - self._first_us
