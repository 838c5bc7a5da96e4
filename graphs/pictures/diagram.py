"""What is drawn: boxes and arrows, before anybody knows where they go."""

from __future__ import annotations

from dataclasses import dataclass

from ...runtime.errors import DefinitionError


@dataclass(frozen=True, slots=True)
class Box:
    """A box by its key: its `title`, what `kind` it is (which gives its colour), and smaller `notes` below the title.

    A `dashed` one stands in another place than its neighbours.
    """

    key: str
    title: str
    kind: str
    notes: tuple[str, ...] = ()
    dashed: bool = False


@dataclass(frozen=True, slots=True)
class Arrow:
    """From box to box, by key."""

    start: str
    end: str
    label: str = ""


@dataclass(frozen=True, slots=True)
class Diagram:
    """Boxes and arrows; raises `DefinitionError` for an arrow to nowhere and for arrows that go round."""

    title: str
    boxes: tuple[Box, ...]
    arrows: tuple[Arrow, ...]

    def __post_init__(self) -> None:
        keys = {box.key for box in self.boxes}
        for arrow in self.arrows:
            for key in (arrow.start, arrow.end):
                if key not in keys:
                    raise DefinitionError(f"{self.title}: an arrow ends at {key!r}, which is no box")
        self.order()

    def order(self) -> list[str]:
        """The keys so that every arrow goes forward (Kahn 1962)."""
        coming = {box.key: 0 for box in self.boxes}
        for arrow in self.arrows:
            coming[arrow.end] += 1
        ready = [box.key for box in self.boxes if not coming[box.key]]
        found: list[str] = []
        while ready:
            key = ready.pop(0)
            found.append(key)
            for arrow in self.arrows:
                if arrow.start == key:
                    coming[arrow.end] -= 1
                    if not coming[arrow.end]:
                        ready.append(arrow.end)
        if len(found) < len(self.boxes):
            around = sorted(set(coming) - set(found))
            raise DefinitionError(f"{self.title}: the arrows between {', '.join(around)} go round; remove one")
        return found
