"""LightGBM's trees as arrays, read from its text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from .tree_paths import Trees, numbered

_NEEDED = frozenset({"num_leaves", "num_cat", "is_linear", "leaf_value"})
_SPLITS = frozenset({
    "split_feature", "threshold", "decision_type", "left_child", "right_child", "leaf_count", "internal_count",
})  # fmt: skip
_NULL_IS_ZERO, _ZERO_IS_NULL = 0, 1
_Number = TypeVar("_Number", bound=np.generic)


def trees(text: str) -> Trees | None:
    """The trees of a booster of one answer; None for others, and for categories, zeros as null or linear leaves."""
    head, *blocks = text.split("\nTree=")
    if not blocks or _told(head).get("num_tree_per_iteration") != "1":
        return None
    found = [_tree(_told(block.partition("\n\n")[0])) for block in blocks]
    known = [one for one in found if one is not None]
    return numbered(known) if len(known) == len(found) else None


def _told(lines: str) -> dict[str, str]:
    return dict(line.split("=", 1) for line in lines.splitlines() if "=" in line)


def _tree(told: Mapping[str, str]) -> Trees | None:
    if not told.keys() >= _NEEDED or told["num_cat"] != "0" or told["is_linear"] != "0":
        return None
    leaves = int(told["num_leaves"])
    if leaves == 1:
        return _leaf(float(told["leaf_value"]))
    if not told.keys() >= _SPLITS:
        return None
    threshold = _numbers(told, "threshold", np.float64)
    decision = _numbers(told, "decision_type", np.intp)
    null = decision >> 2
    if (null == _ZERO_IS_NULL).any():
        return None
    null_left = np.where(null == _NULL_IS_ZERO, threshold >= 0, decision & 2)
    nothing = np.zeros(leaves)
    below = (_numbers(told, key, np.intp) for key in ("left_child", "right_child"))
    left, right = (np.where(child < 0, leaves - 2 - child, child) for child in below)  # ~0 is the first leaf
    end = np.full(leaves, -1)
    return Trees(
        roots=np.zeros(1, np.intp),
        left=np.concatenate((left, end)),
        right=np.concatenate((right, end)),
        feature=np.concatenate((_numbers(told, "split_feature", np.intp), end)),
        # It sends a value that equals the threshold to the left: so does the next larger number.
        threshold=np.concatenate((np.nextafter(threshold, np.inf), nothing)),
        null_left=np.concatenate((null_left.astype(np.bool_), np.zeros(leaves, np.bool_))),
        cover=np.concatenate([_numbers(told, key, np.float64) for key in ("internal_count", "leaf_count")]),
        value=np.concatenate((np.zeros(leaves - 1), _numbers(told, "leaf_value", np.float64))),
    )


def _leaf(value: float) -> Trees:
    none, zero = np.full(1, -1), np.zeros(1)
    return Trees(np.zeros(1, np.intp), none, none, none, zero, np.zeros(1, np.bool_), np.ones(1), np.full(1, value))


def _numbers(told: Mapping[str, str], key: str, kind: type[_Number]) -> npt.NDArray[_Number]:
    return np.array(told[key].split(), np.float64).astype(kind)
