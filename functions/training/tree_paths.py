"""Trees as arrays, and what lies on the way to each of their splits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.intp]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Trees:
    """The nodes of all trees of a model, numbered through; `roots` are those where the trees begin.

    A split sends a value below its `threshold` to `left`, any other to `right`, and null to the left where `null_left`.
    A leaf has -1 for both and answers `value`; `cover` is how much of the training rows a node has seen.
    """

    roots: Ints
    left: Ints
    right: Ints
    feature: Ints
    threshold: Floats
    null_left: Bools
    cover: Floats
    value: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Paths:
    """Every split, from the roots downwards, and the conditions on its own feature above it, taken together.

    By split: its `node` and `level` (0 at a root). A row has met what was asked of the split's feature before if its
    value is not below `lower` nor from `upper` on (NaN where there is no such bound); a null has if `null_meets`.
    `above` is the `share` of the nearest node above to which a split on that feature leads, 1 where there is none.
    By node: `share`, the part of the training rows that is left by all conditions on its parent's feature; `reach`, the
    part that comes to the node. `most_features` are those on the path to one leaf.
    """

    node: Ints
    level: Ints
    lower: Floats
    upper: Floats
    null_meets: Bools
    above: Floats
    share: Floats
    reach: Floats
    most_features: int


def paths(trees: Trees, *, most_levels: int) -> Paths | None:
    """All paths, level by level; None for trees deeper than that, or with nodes that no training row came to."""
    if not (np.isfinite(trees.cover) & (trees.cover > 0)).all():
        return None  # A part of nothing is not defined.
    nodes = len(trees.left)
    # By node, what its path asks of its parent's feature; one more, the last, stands for a path that asks nothing.
    lower, upper = np.full(nodes + 1, -np.inf), np.full(nodes + 1, np.nan)
    meets, share, reach = np.ones(nodes + 1, np.bool_), np.ones(nodes + 1), np.ones(nodes)
    above = np.full(nodes, nodes)
    levels: list[Ints] = []
    at = trees.roots[trees.left[trees.roots] >= 0]
    way = np.empty((len(at), 0), np.intp)  # the nodes passed, without the root
    asked = np.empty((len(at), 0), np.intp)  # the features that led to them
    most = 0
    while len(at):
        if len(levels) == most_levels:
            return None
        levels.append(at)
        feature, threshold = trees.feature[at], trees.threshold[at]
        if way.shape[1]:
            same = (asked == feature[:, None])[:, ::-1]
            newest = way.shape[1] - 1 - same.argmax(axis=1)
            above[at] = np.where(same.any(axis=1), way[np.arange(len(at)), newest], nodes)
        old = above[at]
        left, right = trees.left[at], trees.right[at]
        for child, null in ((left, trees.null_left[at]), (right, ~trees.null_left[at])):
            ratio = trees.cover[child] / trees.cover[at]
            share[child], reach[child] = share[old] * ratio, reach[at] * ratio
            meets[child] = meets[old] & null
        lower[left], upper[left] = lower[old], np.fmin(upper[old], threshold)
        lower[right], upper[right] = np.fmax(lower[old], threshold), upper[old]
        below = np.concatenate((left, right))
        way = np.column_stack((np.tile(way, (2, 1)), below))
        asked = np.tile(np.column_stack((asked, feature)), (2, 1))
        ordered = np.sort(asked, axis=1)
        most = max(most, 1 + int((np.diff(ordered, axis=1) > 0).sum(axis=1).max()))
        goes_on = trees.left[below] >= 0
        at, way, asked = below[goes_on], way[goes_on], asked[goes_on]
    node = np.concatenate(levels) if levels else np.empty(0, np.intp)
    level = np.repeat(np.arange(len(levels)), [len(one) for one in levels])
    old = above[node]
    return Paths(node, level, lower[old], upper[old], meets[old], share[old], share[:-1], reach, most)


def numbered(trees: Sequence[Trees]) -> Trees:
    """Many as one: their nodes numbered through."""
    before = np.cumsum([0, *(len(one.left) for one in trees[:-1])])

    def moved(of: Callable[[Trees], Ints]) -> Ints:
        return np.concatenate([np.where(of(one) < 0, -1, of(one) + by) for one, by in zip(trees, before, strict=True)])

    return Trees(
        roots=moved(lambda one: one.roots),
        left=moved(lambda one: one.left),
        right=moved(lambda one: one.right),
        feature=np.concatenate([one.feature for one in trees]),
        threshold=np.concatenate([one.threshold for one in trees]),
        null_left=np.concatenate([one.null_left for one in trees]),
        cover=np.concatenate([one.cover for one in trees]),
        value=np.concatenate([one.value for one in trees]),
    )
