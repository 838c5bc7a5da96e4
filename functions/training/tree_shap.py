"""What each feature of a row adds to the answer of a model of trees: exact Shapley values, all trees at once.

What a feature adds is its mean effect over all orders in which a row's values become known (Shapley 1953); a split on a
value that is not known yet goes both ways, by the training rows' shares (path-dependent TreeSHAP, Lundberg 2018). For
one leaf the mean is an integral (Owen 1972). Let each feature be known with chance t: all conditions on it hold with

    a(t) = share * (1 - t) + met * t        (met: 1 where the row meets them all, else 0)

and feature j adds the leaf's value * integral over t from 0 to 1 of (met_j - share_j) * product of the other features'
a(t). This is a polynomial of a degree below the number of features on the path: Gauss and Legendre's rule gives it
exactly with half as many points, by adding up products, where nothing is divided by what may be close to zero.

Leaves share the beginnings of their paths. So products are made downwards, a level of all trees together, and sums over
leaves upwards; a split adds (sum below) * (met - share) / a for both of its children, less the same of the split on
its feature before it, which it makes more precise. Per split there are only three cases: the row met what was asked of
the feature before and goes left, or goes right, or it did not. The factors of all three are prepared; a row picks.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields

import numpy as np
import numpy.typing as npt

from .tree_paths import Bools, Floats, Ints

_LEFT_OR_RIGHT, _CASES = 2, 3


@dataclass(frozen=True, slots=True, eq=False)
class Conditions:
    """What decides a split's case: its own threshold, and the bounds that its feature has met on the way to it."""

    feature: Ints
    threshold: Floats
    lower: Floats
    upper: Floats
    null_right: Bools
    null_strays: Bools


@dataclass(frozen=True, slots=True, eq=False)
class Level:
    """Branches (splits that a split is below of) as deep as each other: from place `start` to `stop` of all of them.

    `above` is the edge that leads to each; `below`, for the left edges, then the right ones, where among all sums (of
    branches, twigs, leaves) stands the one of what it leads to.
    """

    start: int
    stop: int
    above: Ints
    below: Ints


@dataclass(frozen=True, slots=True, eq=False)
class TreeShap:
    """A model's trees, prepared. Branches stand before twigs (splits of two leaves), each from the roots downwards.

    Edges: the left one of every branch, then the right ones, then one for all roots. With p points:

    `branches`: (products' left and right factors, then parts' left and right ones; each p) x (branches of 3 cases);
    `twigs`: (sum, then part; each p) x (twigs of 3 cases); `leaves`: p x leaves that hang on branches.
    """

    width: int
    conditions: Conditions
    first_case: Ints
    levels: tuple[Level, ...]
    ends: Ints  # the edges that lead to twigs, then to leaves
    branches: Floats
    twigs: Floats
    leaves: Floats
    _spare: list[_Room] = field(default_factory=list, repr=False)

    @property
    def memory_bytes(self) -> int:
        """What the prepared arrays take; each thread that explains at the same time needs about three quarters more."""
        asked = (getattr(self.conditions, one.name) for one in fields(Conditions))
        wires = (ends for one in self.levels for ends in (one.above, one.below))
        own = (self.first_case, self.ends, self.branches, self.twigs, self.leaves)
        return sum(one.nbytes for one in (*asked, *wires, *own))

    def parts(self, rows: npt.NDArray[np.floating]) -> Floats:
        """Rows x features, in margin units: with the model's mean answer a row adds up to its own. Safe in threads."""
        try:
            room = self._spare.pop()
        except IndexError:
            room = _Room(self)
        found = np.empty((len(rows), self.width))
        for row, parts in zip(rows.astype(np.float64), found, strict=True):
            self._pick(row, room)
            self._descend(room)
            self._ascend(room)
            parts[:] = np.bincount(self.conditions.feature, room.parts, minlength=self.width)
        self._spare.append(room)
        return found

    def _pick(self, row: Floats, room: _Room) -> None:
        """Each split's case, and with it the factors."""
        asked, value, right, strays, also = self.conditions, room.value, room.right, room.strays, room.also
        row.take(asked.feature, out=value, mode="clip")
        np.greater_equal(value, asked.threshold, out=right)
        np.greater_equal(value, asked.upper, out=strays)
        np.logical_or(strays, np.less(value, asked.lower, out=also), out=strays)
        null = np.isnan(row)
        if null.any():  # until here, null went left and met everything
            null.take(asked.feature, out=also, mode="clip")
            np.logical_or(right, also & asked.null_right, out=right)
            np.logical_or(strays, also & asked.null_strays, out=strays)
        np.greater(right, strays, out=right)
        case = strays.view(np.uint8)
        np.add(np.add(case, case, out=case), right.view(np.uint8), out=case)
        np.add(self.first_case, case, out=room.case)
        count = room.branches.shape[1]
        # "clip", here and below, spares NumPy a copy of what it fills: every place exists.
        self.branches.take(room.case[:count], axis=1, out=room.branches, mode="clip")
        self.twigs.take(room.case[count:], axis=1, out=room.twigs, mode="clip")

    def _descend(self, room: _Room) -> None:
        """By edge, the product of all factors on the way to its end."""
        for level, product in zip(self.levels, room.products, strict=True):
            room.edges.take(level.above, axis=1, out=product, mode="clip")
            here = slice(level.start, level.stop)
            np.multiply(room.factors[:, :, here], product[:, None], out=room.sides[:, :, here])
        room.edges.take(self.ends, axis=1, out=room.ends, mode="clip")

    def _ascend(self, room: _Room) -> None:
        """The sums over what is below, from the leaves to the roots, and the splits' parts."""
        branches, twigs = room.branches.shape[1], room.twigs.shape[1]
        np.multiply(room.twig_sums, room.ends[:, :twigs], out=room.sums[:, branches : branches + twigs])
        np.multiply(room.twig_parts, room.ends[:, :twigs], out=room.twig_parts)
        room.twig_parts.sum(axis=0, out=room.parts[branches:])
        np.multiply(self.leaves, room.ends[:, twigs:], out=room.sums[:, branches + twigs :])
        for level, below in zip(reversed(self.levels), reversed(room.below), strict=True):
            here = slice(level.start, level.stop)
            room.sums.take(level.below, axis=1, out=below, mode="clip")
            left_right = below.reshape(len(below), _LEFT_OR_RIGHT, -1)
            np.add(left_right[:, 0], left_right[:, 1], out=room.sums[:, here])
            np.multiply(left_right, room.shares[:, :, here], out=left_right)
            left_right.sum(axis=(0, 1), out=room.parts[here])


class _Room:
    """What one row needs at a time, kept for the next: to ask for fresh memory takes longer than to fill it."""

    def __init__(self, of: TreeShap) -> None:
        points, leaves = of.leaves.shape
        splits, branches, twigs = (len(of.first_case), *(one.shape[1] // _CASES for one in (of.branches, of.twigs)))
        self.value = np.empty(splits)
        self.right, self.strays, self.also = (np.empty(splits, np.bool_) for _ in range(3))
        self.case = np.empty(splits, np.intp)
        self.branches = np.empty((len(of.branches), branches))
        self.twigs = np.empty((len(of.twigs), twigs))
        self.factors, self.shares = self.branches.reshape(2, points, _LEFT_OR_RIGHT, branches)
        self.twig_sums, self.twig_parts = self.twigs.reshape(2, points, twigs)
        self.edges = np.ones((points, _LEFT_OR_RIGHT * branches + 1))
        self.sides = self.edges[:, :-1].reshape(points, _LEFT_OR_RIGHT, branches)
        self.ends = np.empty((points, len(of.ends)))
        self.sums = np.empty((points, splits + leaves))
        self.parts = np.empty(splits)
        self.products = [np.empty((points, len(one.above))) for one in of.levels]
        self.below = [np.empty((points, len(one.below))) for one in of.levels]
