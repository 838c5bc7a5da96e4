"""A diagram as SVG: one text that browsers, notebooks and documents show; no script, no font, no link."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from pathlib import Path

from ...runtime.text_file import write_text
from .diagram import Box, Diagram
from .layers import Point, Size, layout

_CHARACTER, _SMALL = 7.4, 6.2  # widths of a character in pixels, title and notes
_PAD, _TITLE, _LINE = 12.0, 20.0, 15.0
_PLAIN = "#eef2f7", "#64748b"
_COLOURS: Mapping[str, tuple[str, str]] = {
    "end": ("#ffffff", "#94a3b8"),
    "check": ("#fef3c7", "#b45309"),
    "enrich": ("#dcfce7", "#15803d"),
    "predict": ("#dbeafe", "#1d4ed8"),
    "explain": ("#dbeafe", "#1d4ed8"),
    "branch": ("#fae8ff", "#a21caf"),
    "router": ("#fae8ff", "#a21caf"),
    "parallel": ("#fae8ff", "#a21caf"),
    "queue": ("#ffedd5", "#c2410c"),
    "state": ("#dcfce7", "#15803d"),
    "remote": ("#ffe4e6", "#be123c"),
    "failed": ("#fee2e2", "#b91c1c"),
    "done": ("#dcfce7", "#15803d"),
    "skipped": ("#f8fafc", "#94a3b8"),
}


@dataclass(frozen=True, slots=True)
class Picture:
    """An SVG image; notebooks show it, `save` writes it to a file."""

    svg: str

    def save(self, path: str | Path) -> Path:
        """Writes the picture as a .svg file; raises `StorageError`."""
        return write_text(path, self.svg)

    def _repr_svg_(self) -> str:
        return self.svg


def drawn(diagram: Diagram) -> Picture:
    """The diagram as a picture."""
    sizes = {box.key: _size(box) for box in diagram.boxes}
    placed = layout(diagram, sizes, [len(arrow.label) * _SMALL + 8 if arrow.label else 0.0 for arrow in diagram.arrows])
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{placed.width:.0f}" height="{placed.height:.0f}" '
        f'viewBox="0 0 {placed.width:.0f} {placed.height:.0f}" role="img" '
        'font-family="system-ui, -apple-system, Segoe UI, Roboto, Helvetica, Arial, sans-serif">',
        f"<title>{escape(diagram.title)}</title>",
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        '<path d="M0,0 L8,4 L0,8 z" fill="#64748b"/></marker></defs>',
    ]
    for arrow, line in zip(diagram.arrows, placed.lines, strict=True):
        parts.append(
            f'<path d="{_curve(line)}" fill="none" stroke="#64748b" stroke-width="1.4" marker-end="url(#tip)"/>'
        )
        if arrow.label:
            parts.append(_label(arrow.label, line))
    parts += [_box(box, placed.corners[box.key], sizes[box.key]) for box in diagram.boxes]
    return Picture("\n".join([*parts, "</svg>"]))


def _size(box: Box) -> Size:
    width = max([len(box.title) * _CHARACTER, *(len(note) * _SMALL for note in box.notes)])
    return width + 2 * _PAD, _TITLE + _LINE * len(box.notes) + _PAD


def _box(box: Box, corner: Point, size: Size) -> str:
    fill, line = _COLOURS.get(box.kind, _PLAIN)
    (x, y), (width, height) = corner, size
    dashes = ' stroke-dasharray="5 3"' if box.dashed else ""
    middle = x + width / 2
    texts = [
        f'<text x="{middle:.1f}" y="{y + _PAD / 2 + 14:.1f}" font-size="13" font-weight="600" fill="#0f172a" '
        f'text-anchor="middle">{escape(box.title)}</text>'
    ]
    texts += [
        f'<text x="{middle:.1f}" y="{y + _PAD / 2 + 14 + _LINE * number:.1f}" font-size="11" fill="#475569" '
        f'text-anchor="middle">{escape(note)}</text>'
        for number, note in enumerate(box.notes, 1)
    ]
    shape = (
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" rx="7" fill="{fill}" '
        f'stroke="{line}" stroke-width="1.4"{dashes}/>'
    )
    return f"<g>{shape}{''.join(texts)}</g>"


def _curve(line: tuple[Point, ...]) -> str:
    """A smooth line: curves between layers, straight through them."""
    (x, y), *rest = line
    parts = [f"M{x:.1f},{y:.1f}"]
    for number, (to_x, to_y) in enumerate(rest):
        if number % 2 == 0:
            half = (to_x - x) / 2
            parts.append(f"C{x + half:.1f},{y:.1f} {to_x - half:.1f},{to_y:.1f} {to_x:.1f},{to_y:.1f}")
        else:
            parts.append(f"L{to_x:.1f},{to_y:.1f}")
        x, y = to_x, to_y
    return " ".join(parts)


def _label(text: str, line: tuple[Point, ...]) -> str:
    """The arrow's word, above the first curve's middle, on a pale ground."""
    (x1, y1), (x2, y2) = line[0], line[1]
    x, y = (x1 + x2) / 2, (y1 + y2) / 2
    width = len(text) * _SMALL + 8
    return (
        f'<g><rect x="{x - width / 2:.1f}" y="{y - 8:.1f}" width="{width:.1f}" height="16" rx="4" fill="#ffffff" '
        f'fill-opacity="0.9"/><text x="{x:.1f}" y="{y + 4:.1f}" font-size="11" fill="#475569" text-anchor="middle">'
        f"{escape(text)}</text></g>"
    )
