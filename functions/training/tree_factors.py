"""Trees made ready to be explained: the factors of every split in each of its three cases."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from .tree_paths import Floats, Ints, Paths, Trees, paths
from .tree_shap import Conditions, Level, TreeShap

MOST_LEVELS = 64
MOST_BYTES = 64 * 2**20


def prepared(trees: Trees, *, width: int) -> TreeShap | None:
    """The trees of a model of `width` features, ready to explain rows.

    None for what had better be left to others: trees of more than `MOST_LEVELS` levels of splits or with nodes that no
    training row came to, and models whose factors would take more than `MOST_BYTES`.
    """
    found = paths(trees, most_levels=MOST_LEVELS)
    if found is None:
        return None
    points = max(1, (found.most_features + 1) // 2)
    is_leaf = trees.left < 0
    is_twig = is_leaf[trees.left[found.node]] & is_leaf[trees.right[found.node]]
    twigs = int(is_twig.sum())
    branches = len(is_twig) - twigs
    if 8 * 3 * points * (4 * branches + 2 * twigs) > MOST_BYTES:
        return None
    order = np.argsort(is_twig, kind="stable")
    node = found.node[order]
    below = np.stack((trees.left[node], trees.right[node]))
    hung = below[:, :branches][is_leaf[below[:, :branches]]]
    edge = _edges(below[:, :branches], nodes=len(is_leaf))
    rule, weights = np.polynomial.legendre.leggauss(points)
    products, shares = _cases(found.above[order], found.share[below], known=(rule + 1) / 2)
    leaves = np.multiply.outer(weights / 2, trees.value * found.reach)
    ending = leaves[:, below[:, branches:], None] * products[:, :, branches:]
    return TreeShap(
        width=width,
        conditions=_conditions(trees, found, order),
        first_case=3 * np.concatenate((np.arange(branches), np.arange(twigs))),
        levels=_levels(found.level[order[:branches]], edge[node], _places(node, hung, below[:, :branches])),
        ends=np.concatenate((edge[node[branches:]], edge[hung])),
        branches=np.stack((products[:, :, :branches], shares[:, :, :branches])).reshape(4 * points, 3 * branches),
        twigs=np.stack((ending, ending * shares[:, :, branches:])).sum(axis=2).reshape(2 * points, 3 * twigs),
        leaves=leaves[:, hung],
    )


def _conditions(trees: Trees, found: Paths, order: Ints) -> Conditions:
    node = found.node[order]
    return Conditions(
        feature=trees.feature[node],
        threshold=trees.threshold[node],
        lower=found.lower[order],
        upper=found.upper[order],
        null_right=~trees.null_left[node],
        null_strays=~found.null_meets[order],
    )


def _cases(above: Floats, share: Floats, *, known: Floats) -> tuple[Floats, Floats]:
    """What a(t) is multiplied by, in parts of the share, and what (met - share) / a(t) rises by.

    Points x sides x splits x cases, of `above` (splits) and `share` (sides x splits) before and after a split.
    """
    t = known[:, None, None]
    before, before_part = (1 - t) + t / above, (1 - above) / (above * (1 - t) + t)
    products, parts = np.ones((2, len(known), *share.shape, 3))
    parts[..., 2] = 0  # one that strayed before has nothing left to lose
    met, met_part = ((1 - t) + t / share) / before, (1 - share) / (share * (1 - t) + t) - before_part
    missed, missed_part = ((1 - t) / before)[:, 0], (-1 / (1 - t) - before_part)[:, 0]
    for side in (0, 1):
        products[:, side, :, side], parts[:, side, :, side] = met[:, side], met_part[:, side]
        products[:, side, :, 1 - side], parts[:, side, :, 1 - side] = missed, missed_part
    return products, parts


def _edges(below: Ints, *, nodes: int) -> Ints:
    """By node, the edge that leads to it; the last one to the roots."""
    edge = np.full(nodes, below.size)
    edge[below.ravel()] = np.arange(below.size)
    return edge


def _places(node: Ints, hung: Ints, below: Ints) -> Ints:
    """Where the sum of what is below each side of each branch stands: splits first, then leaves."""
    summed = np.concatenate((node, hung))
    place = np.empty(int(summed.max(initial=-1)) + 1, np.intp)
    place[summed] = np.arange(len(summed))
    return place[below]


def _levels(level: Ints, edge: Ints, places: Ints) -> tuple[Level, ...]:
    bounds = [*np.flatnonzero(np.diff(level, prepend=-1)).tolist(), len(level)]
    return tuple(
        Level(start, stop, edge[start:stop].copy(), places[:, start:stop].ravel()) for start, stop in pairwise(bounds)
    )
