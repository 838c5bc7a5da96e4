"""Plots as SVG, from Python alone: lines, bars, axes; readable without colours and without a script."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
import numpy.typing as npt

WIDTH, HEIGHT = 360, 250
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 14, 12, 40
_COLOURS = ("#2a6fbb", "#c8553d", "#588157", "#8a6fae")
_DASHES = ("", "6 3", "2 3", "8 3 2 3")
_MOST_POINTS = 300
_LETTER = 7  # pixels that a letter may take

Span = tuple[float, float]
Numbers = Sequence[float] | npt.NDArray[np.floating]


@dataclass(frozen=True, slots=True)
class Line:
    """A named line through points; `marked` shows the points themselves, without `joined` nothing else."""

    name: str
    x: Numbers
    y: Numbers
    marked: bool = False
    joined: bool = True


def line_chart(
    lines: Sequence[Line], *, x: str, y: str, x_span: Span | None = None, y_span: Span | None = None,
    diagonal: bool = False, at: float | None = None,
) -> str:  # fmt: skip
    """Lines on two axes named `x` and `y`; `diagonal` is dotted from corner to corner, `at` a mark on the x axis."""
    xs, ys = x_span or _span([line.x for line in lines]), y_span or _span([line.y for line in lines])
    parts = [_axes(x, y, xs, ys)]
    if diagonal:
        parts.append(_path([xs[0], xs[1]], [ys[0], ys[1]], xs, ys, "#999", "1 3"))
    if at is not None and xs[0] <= at <= xs[1]:
        parts.append(_path([at, at], [ys[0], ys[1]], xs, ys, "#333", "3 2"))
    for place, line in enumerate(lines):
        colour, dash = _COLOURS[place % 4], _DASHES[place % 4]
        px, py = _thinned(np.asarray(line.x, dtype=float), np.asarray(line.y, dtype=float))
        if line.joined:
            parts.append(_path(px, py, xs, ys, colour, dash))
        if line.marked:
            size = "3" if line.joined else "2"
            parts += [f'<circle cx="{_x(a, xs):.1f}" cy="{_y(b, ys):.1f}" r="{size}" fill="{colour}"/>'
                      for a, b in zip(px, py, strict=True)]  # fmt: skip
    if len(lines) > 1:
        parts.append(_legend([line.name for line in lines]))
    return _svg(parts, f"{y} by {x}")


def histogram(
    series: Sequence[tuple[str, Numbers]], *, x: str, bins: int = 30, span: Span | None = None, at: float | None = None
) -> str:
    """The distribution of each series as a share of its own values, as steps; `at` is a mark on the x axis."""
    known = [(name, _finite(values)) for name, values in series]
    xs = span or _span([values for _, values in known])
    edges = np.linspace(*xs, bins + 1)
    lines = []
    for name, values in known:
        share = np.histogram(values, edges)[0] / max(1, len(values))
        lines.append(Line(name, np.repeat(edges, 2)[1:-1], np.repeat(share, 2)))
    top = max((float(np.max(line.y)) for line in lines), default=1.0) or 1.0
    return line_chart(lines, x=x, y="share of rows", x_span=xs, y_span=(0.0, top * 1.05), at=at)


def bar_chart(names: Sequence[str], values: Sequence[float], *, unit: str = "") -> str:
    """A horizontal bar for each name, in the order given; values from zero up."""
    most = max([*values, 1e-300])
    # Names of features have their ends in common with none, their beginnings often: as much of them as there is room.
    row, left = 20, min(330, max(120, 12 + _LETTER * max((len(name) for name in names), default=0)))
    letters = (left - 12) // _LETTER
    height = row * len(names) + 8
    parts = []
    for place, (name, value) in enumerate(zip(names, values, strict=True)):
        top, width = 4 + place * row, (WIDTH - 175) * value / most
        shown = name if len(name) <= letters else name[: letters - 1] + "…"
        told = f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"
        parts.append(
            f'<text x="{left - 6}" y="{top + 13}" text-anchor="end">{_text(shown)}<title>{_text(name)}</title></text>'
            f'<rect x="{left}" y="{top + 3}" width="{max(width, 0.5):.1f}" height="{row - 6}" fill="{_COLOURS[0]}"/>'
            f'<text x="{left + width + 5:.1f}" y="{top + 13}">{told}{_text(unit)}</text>'
        )
    return _svg(parts, "bars", width=WIDTH - 120 + left, height=height)


def heat_map(names: Sequence[str], values: npt.NDArray[np.floating]) -> str:
    """A square for each pair: from -1 (red) over 0 (white) to 1 (blue), the number inside; NaN is grey."""
    side, left = 34, 130
    parts = []
    for i, name in enumerate(names):
        shown = name if len(name) <= 19 else name[:18] + "…"
        parts.append(f'<text x="{left - 5}" y="{i * side + 21}" text-anchor="end">{_text(shown)}</text>')
        for j, value in enumerate(values[i]):
            known = bool(np.isfinite(value))
            strength = min(1.0, abs(float(value))) if known else 0.0
            base = (42, 111, 187) if value >= 0 else (200, 85, 61)
            red, green, blue = (round(255 - (255 - one) * strength) for one in base)
            fill = f"rgb({red},{green},{blue})" if known else "#ddd"
            ink = "#fff" if strength > 0.6 else "#222"
            parts.append(
                f'<rect x="{left + j * side}" y="{i * side}" width="{side - 1}" height="{side - 1}" fill="{fill}">'
                f"<title>{_text(name)} and {_text(names[j])}: {value:.3f}</title></rect>"
                f'<text x="{left + j * side + side / 2}" y="{i * side + 21}" text-anchor="middle" fill="{ink}">'
                f"{f'{value:.2f}' if known else ''}</text>"
            )
    return _svg(parts, "correlations", width=left + side * len(names) + 4, height=side * len(names) + 4)


def _svg(parts: Sequence[str], label: str, *, width: int = WIDTH, height: int = HEIGHT) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        f'role="img" aria-label="{_text(label)}" font-family="sans-serif" font-size="11" fill="#222">'
        f"{''.join(parts)}</svg>"
    )


def _axes(x: str, y: str, xs: Span, ys: Span) -> str:
    bottom, right = HEIGHT - _BOTTOM, WIDTH - _RIGHT
    parts = []
    for value in _ticks(xs):
        at = _x(value, xs)
        parts.append(f'<path d="M{at:.1f} {_TOP}V{bottom}" stroke="#e4e4e4"/>'
                     f'<text x="{at:.1f}" y="{bottom + 14}" text-anchor="middle">{value:.4g}</text>')  # fmt: skip
    for value in _ticks(ys):
        at = _y(value, ys)
        parts.append(f'<path d="M{_LEFT} {at:.1f}H{right}" stroke="#e4e4e4"/>'
                     f'<text x="{_LEFT - 5}" y="{at + 4:.1f}" text-anchor="end">{value:.4g}</text>')  # fmt: skip
    middle = (_TOP + bottom) / 2
    return "".join(parts) + (
        f'<path d="M{_LEFT} {_TOP}V{bottom}H{right}" stroke="#555" fill="none"/>'
        f'<text x="{(_LEFT + right) / 2}" y="{HEIGHT - 8}" text-anchor="middle">{_text(x)}</text>'
        f'<text transform="translate(12 {middle}) rotate(-90)" text-anchor="middle">{_text(y)}</text>'
    )


def _legend(names: Sequence[str]) -> str:
    parts = []
    for place, name in enumerate(names):
        top = _TOP + 10 + place * 15
        parts.append(
            f'<path d="M{WIDTH - 120} {top}h22" stroke="{_COLOURS[place % 4]}" stroke-width="2" '
            f'stroke-dasharray="{_DASHES[place % 4]}"/><text x="{WIDTH - 94}" y="{top + 4}">{_text(name)}</text>'
        )
    return "".join(parts)


def _path(x: Numbers, y: Numbers, xs: Span, ys: Span, colour: str, dash: str) -> str:
    points = " ".join(f"{_x(float(a), xs):.1f},{_y(float(b), ys):.1f}" for a, b in zip(x, y, strict=True))
    return f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.8" stroke-dasharray="{dash}"/>'


def _x(value: float, xs: Span) -> float:
    return _LEFT + (WIDTH - _LEFT - _RIGHT) * (value - xs[0]) / ((xs[1] - xs[0]) or 1.0)


def _y(value: float, ys: Span) -> float:
    return HEIGHT - _BOTTOM - (HEIGHT - _TOP - _BOTTOM) * (value - ys[0]) / ((ys[1] - ys[0]) or 1.0)


def _ticks(span: Span) -> list[float]:
    """Round numbers inside the span, some five of them."""
    low, high = span
    raw = (high - low) / 5 or 1.0
    power = 10.0 ** np.floor(np.log10(raw))
    step = float(min((factor for factor in (1, 2, 2.5, 5, 10)), key=lambda factor: abs(factor * power - raw)) * power)
    return [round(step * i, 12) for i in range(int(np.ceil(low / step - 1e-9)), int(np.floor(high / step + 1e-9)) + 1)]


def _span(columns: Sequence[Numbers]) -> Span:
    values = np.concatenate([_finite(column) for column in columns]) if columns else np.zeros(0)
    if not len(values):
        return 0.0, 1.0
    low, high = float(values.min()), float(values.max())
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def _finite(values: Numbers) -> npt.NDArray[np.float64]:
    found = np.asarray(values, dtype=np.float64)
    return found[np.isfinite(found)]


def _thinned(x: npt.NDArray[np.float64], y: npt.NDArray[np.float64]) -> tuple[Numbers, Numbers]:
    """At most so many points, corners of the line kept where it is steep."""
    if len(x) <= _MOST_POINTS:
        return x, y
    scale_x, scale_y = float(np.ptp(x)) or 1.0, float(np.ptp(y)) or 1.0
    way = np.concatenate(([0.0], np.cumsum(np.abs(np.diff(x)) / scale_x + np.abs(np.diff(y)) / scale_y)))
    kept = np.unique(np.searchsorted(way, np.linspace(0, way[-1], _MOST_POINTS)).clip(0, len(x) - 1))
    return x[kept], y[kept]


def _text(words: str) -> str:
    return escape(words, quote=True)
