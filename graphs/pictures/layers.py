"""Where boxes and arrows go: in layers from left to right, few crossings (Sugiyama 1981).

A box's layer is the longest way to it. An arrow over several layers bends at a free place in each of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from .diagram import Arrow, Diagram

GAP_X, GAP_Y = 56.0, 22.0
MARGIN = 16.0
_SWEEPS = 8
_BEND = 14.0  # height of the place where an arrow passes through a layer

Size = tuple[float, float]
Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Layout:
    """`corners` is the upper left corner of each box, `lines` the points of each arrow, in the diagram's order."""

    width: float
    height: float
    corners: Mapping[str, Point]
    lines: tuple[tuple[Point, ...], ...]


def layout(diagram: Diagram, sizes: Mapping[str, Size], words: Sequence[float] = ()) -> Layout:
    """Places boxes of these sizes (width, height by key), with room for the arrows' `words` (widths, in order)."""
    layers = _layers(diagram)
    chains = [_chain(place, arrow, layers) for place, arrow in enumerate(diagram.arrows)]
    heights = {key: size[1] for key, size in sizes.items()}
    heights |= {bend: _BEND for chain in chains for bend in chain[1:-1]}
    rows: list[list[str]] = [[] for _ in range(max(layers.values(), default=-1) + 1)]
    for key in diagram.order():
        rows[layers[key]].append(key)
    for chain, arrow in zip(chains, diagram.arrows, strict=True):
        for step, bend in enumerate(chain[1:-1], 1):
            rows[layers[arrow.start] + step].append(bend)
    links = [pair for chain in chains for pair in pairwise(chain)]
    _order(rows, links)
    middles = _middles(rows, links, heights)
    gaps = [GAP_X] * len(rows)
    for arrow, width in zip(diagram.arrows, words, strict=False):
        gaps[layers[arrow.start]] = max(gaps[layers[arrow.start]], width + GAP_X / 2)
    lefts, widths = _columns(rows, sizes, gaps)
    corners = {key: (lefts[layers[key]], middles[key] - sizes[key][1] / 2) for key in sizes}
    lines = tuple(_line(chain, corners, sizes, middles, (lefts, widths, layers)) for chain in chains)
    height = max((middles[key] + heights[key] / 2 for key in middles), default=0.0) + MARGIN
    width = (lefts[-1] + widths[-1] if lefts else 0.0) + MARGIN
    return Layout(width, height, corners, lines)


def _layers(diagram: Diagram) -> dict[str, int]:
    found: dict[str, int] = {}
    for key in diagram.order():
        before = [found[arrow.start] for arrow in diagram.arrows if arrow.end == key]
        found[key] = max(before, default=-1) + 1
    return found


def _chain(place: int, arrow: Arrow, layers: Mapping[str, int]) -> list[str]:
    """The arrow's boxes with the bends between them, one a layer."""
    bends = [f"\0{place}.{layer}" for layer in range(layers[arrow.start] + 1, layers[arrow.end])]
    return [arrow.start, *bends, arrow.end]


def _order(rows: list[list[str]], links: list[tuple[str, str]]) -> None:
    """Sorts each layer by the mean place of its neighbours in the layer before, then after, until it settles."""
    for sweep in range(_SWEEPS):
        forward = sweep % 2 == 0
        places = {key: float(place) for row in rows for place, key in enumerate(row)}
        for row in rows if forward else reversed(rows):
            near = {key: [a if forward else b for a, b in links if (b if forward else a) == key] for key in row}
            means = {
                key: sum(places[other] for other in others) / len(others) if others else places[key]
                for key, others in near.items()
            }
            row.sort(key=lambda key: means[key])
            places |= {key: float(place) for place, key in enumerate(row)}


def _middles(rows: list[list[str]], links: list[tuple[str, str]], heights: Mapping[str, float]) -> dict[str, float]:
    """The middle of each box and bend: as near to its neighbours' as its place in the layer allows."""
    middles: dict[str, float] = {}
    for row in rows:
        at = MARGIN
        for key in row:
            middles[key] = at + heights[key] / 2
            at += heights[key] + GAP_Y
    tallest = max((middles[row[-1]] + heights[row[-1]] / 2 for row in rows if row), default=0.0)
    for row in rows:  # every layer begins in the middle
        shift = (tallest - (middles[row[-1]] + heights[row[-1]] / 2)) / 2 if row else 0.0
        for key in row:
            middles[key] += shift
    for sweep in range(_SWEEPS):
        forward = sweep % 2 == 0
        for row in rows if forward else reversed(rows):
            wanted = []
            for key in row:
                near = [middles[a if forward else b] for a, b in links if (b if forward else a) == key]
                wanted.append(sum(near) / len(near) if near else middles[key])
            _settle(row, wanted, heights, middles)
    top = min((middles[key] - heights[key] / 2 for key in middles), default=0.0) - MARGIN
    return {key: middle - top for key, middle in middles.items()}


def _settle(row: list[str], wanted: list[float], heights: Mapping[str, float], middles: dict[str, float]) -> None:
    """Moves a layer's boxes to where they are wanted, pushed apart in groups whose mean stays where it was wanted."""
    groups: list[tuple[list[int], float]] = []  # places, and the first one's middle
    offsets: list[float] = []
    for place, key in enumerate(row):
        step = (heights[row[place - 1]] + heights[key]) / 2 + GAP_Y if place else 0.0
        offsets.append((offsets[-1] if offsets else 0.0) + step)
        groups.append(([place], wanted[place] - offsets[place]))
        while len(groups) > 1 and groups[-2][1] > groups[-1][1]:
            (one, at_one), (two, at_two) = groups[-2:]
            both = one + two
            groups[-2:] = [(both, (at_one * len(one) + at_two * len(two)) / len(both))]
    for places, at in groups:
        for place in places:
            middles[row[place]] = at + offsets[place]


def _columns(rows: list[list[str]], sizes: Mapping[str, Size], gaps: list[float]) -> tuple[list[float], list[float]]:
    widths = [max((sizes[key][0] for key in row if key in sizes), default=0.0) for row in rows]
    lefts, at = [], MARGIN
    for width, gap in zip(widths, gaps, strict=True):
        lefts.append(at)
        at += width + gap
    return lefts, widths


def _line(
    chain: list[str],
    corners: Mapping[str, Point],
    sizes: Mapping[str, Size],
    middles: Mapping[str, float],
    columns: tuple[list[float], list[float], Mapping[str, int]],
) -> tuple[Point, ...]:
    """From the right side of the first box, through the bends, to the left side of the last."""
    lefts, widths, layers = columns
    first, last = chain[0], chain[-1]
    points: list[Point] = [(corners[first][0] + sizes[first][0], middles[first])]
    for step, bend in enumerate(chain[1:-1], 1):
        layer = layers[first] + step
        points += [(lefts[layer], middles[bend]), (lefts[layer] + widths[layer], middles[bend])]
    return (*points, (corners[last][0], middles[last]))
