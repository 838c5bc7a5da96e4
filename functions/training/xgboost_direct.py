"""XGBoost's C function for arrays, without what its Python looks for first: that is half the time of a single row."""

from __future__ import annotations

import ctypes
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

Rows = npt.NDArray[np.float32]
Scores = npt.NDArray[np.float32]


def direct(live: Any, *, margin: bool) -> Callable[[Rows], Scores] | None:
    """Scores of rows by that booster, NaN for null; None where the library offers no way in.

    Safe in several threads, as `inplace_predict` is. `margin` gives the trees' sum, else what the objective makes of
    it.
    """
    import xgboost

    library = getattr(xgboost.core, "_LIB", None)
    if library is None or not hasattr(live, "handle") or not hasattr(library, "XGBoosterPredictFromDense"):
        return None
    predict = library.XGBoosterPredictFromDense
    options = {"type": int(margin), "training": False, "iteration_begin": 0, "iteration_end": 0}
    config = json.dumps(options | {"missing": float("nan"), "strict_shape": False, "cache_id": 0}).encode()

    def scores(rows: Rows) -> Scores:
        if not len(rows):
            kind = "margin" if margin else "value"
            none: Scores = live.inplace_predict(rows, predict_type=kind, validate_features=False)
            return none
        rows = np.ascontiguousarray(rows, np.float32)  # held until the call is over
        count, width = rows.shape
        place = f'{{"data":[{rows.ctypes.data},true],"shape":[{count},{width}],"typestr":"<f4","version":3}}'
        shape, size = ctypes.POINTER(ctypes.c_uint64)(), ctypes.c_uint64()
        found = ctypes.POINTER(ctypes.c_float)()
        failed = predict(live.handle, place.encode(), config, None, _at(shape), _at(size), _at(found))
        if failed:
            raise xgboost.core.XGBoostError(library.XGBGetLastError().decode())
        sizes = tuple(shape[axis] for axis in range(size.value))
        # What it points to is the library's, until this thread's next call.
        return np.ctypeslib.as_array(found, sizes).copy()

    return scores


_at = ctypes.byref
