"""XGBoost's trees as arrays, read from the JSON that the library writes."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from .tree_paths import Trees, numbered

_NEEDED = frozenset({
    "left_children", "right_children", "split_indices", "split_conditions", "split_type", "default_left", "sum_hessian",
    "tree_param",
})  # fmt: skip


def trees(live: Any) -> Trees | None:
    """The trees of a booster of one answer; None for others, dropped-out or linear ones, and splits on categories."""
    booster = json.loads(live.save_raw("json"))["learner"]["gradient_booster"]
    if booster["name"] != "gbtree":
        return None
    model = booster["model"]
    if not model["trees"] or any(model["tree_info"]) or not all(map(_is_plain, model["trees"])):
        return None
    return numbered([_tree(one) for one in model["trees"]])


def _is_plain(tree: dict[str, Any]) -> bool:
    if not tree.keys() >= _NEEDED or any(tree["split_type"]):
        return False
    return tree["tree_param"]["size_leaf_vector"] in ("0", "1")


def _tree(tree: dict[str, Any]) -> Trees:
    # It compares single-precision numbers: those, widened, compare alike.
    condition = np.array(tree["split_conditions"], np.float32).astype(np.float64)
    return Trees(
        roots=np.zeros(1, np.intp),
        left=np.array(tree["left_children"], np.intp),
        right=np.array(tree["right_children"], np.intp),
        feature=np.array(tree["split_indices"], np.intp),
        threshold=condition,
        null_left=np.array(tree["default_left"], np.bool_),
        cover=np.array(tree["sum_hessian"], np.float32).astype(np.float64),
        value=condition,  # a leaf's answer stands where a split has its threshold
    )
