"""A key's state as bytes, with what must be known so that an event which comes twice counts once."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Any

import msgpack

from .event import Origin
from .states import TAG_BYTES

Body = dict[str, Any]


@dataclass(slots=True)
class Record:
    """`state` is packed (b"" for none yet). For events out of a log, which may come again until their place is noted
    there as done, `results` holds what was made of each of them: source, offset, part, body. `floors` is, by source,
    the offset up to which they were dropped again."""

    tag: bytes = b""
    state: bytes = b""
    floors: dict[str, int] = field(default_factory=dict)
    results: list[tuple[str, int, str, Body | None]] = field(default_factory=list)

    @classmethod
    def of(cls, stored: bytes | None) -> Record:
        """Read back; the value of one that was never stored."""
        if stored is None:
            return cls()
        state, floors, results = unpacked(stored[TAG_BYTES:])
        return cls(stored[:TAG_BYTES], state, floors, [tuple(one) for one in results])

    def packed(self) -> bytes:
        """With a tag of its own."""
        return os.urandom(TAG_BYTES) + _pack([self.state, self.floors, self.results])

    @property
    def is_needed(self) -> bool:
        """False where nothing would be lost with it."""
        return bool(self.state or self.results or self.floors)

    def known(self, origin: Origin) -> tuple[Body | None] | None:
        """What was made of that very event before, in a tuple; None where it is new."""
        for source, offset, part, body in self.results:
            if (source, offset, part) == (origin.source, origin.offset, origin.part):
                return (body,)
        return None

    def is_done(self, origin: Origin) -> bool:
        """True for an event whose place was noted as done: another worker has taken it through all the steps."""
        return origin.offset <= self.floors.get(origin.source, -1) and self.known(origin) is None

    def note(self, origin: Origin, body: Body | None) -> None:
        """Remembers what was made of an event, and forgets those that cannot come again."""
        if origin.done >= 0:
            self.floors[origin.source] = max(origin.done, self.floors.get(origin.source, -1))
        self.results = [one for one in self.results if one[1] > self.floors.get(one[0], -1)]
        self.results.append((origin.source, origin.offset, origin.part, body))


def packed_state(state: Any, *, step: str) -> bytes:
    """A state as bytes; raises `TypeError` for what is no dict of plain values."""
    if not isinstance(state, dict):
        raise TypeError(f"step {step!r} gave {type(state).__name__} as the new state; give a dict, or None for none")
    return _plain(state, step=step, what="state")


def check_plain(body: Any, *, step: str) -> None:
    """Raises `TypeError` for a body that cannot be kept."""
    _plain(body, step=step, what="body")


def unpacked(data: bytes) -> Any:
    """Read back; tuples come back as lists."""
    return msgpack.unpackb(data, strict_map_key=False)


def _plain(value: Any, *, step: str, what: str) -> bytes:
    try:
        return _pack(value)
    except (TypeError, OverflowError, ValueError) as error:
        raise TypeError(
            f"step {step!r} gave a {what} that cannot be kept ({error}); give numbers, text, bytes, lists and dicts"
        ) from None


def _pack(value: Any) -> bytes:
    data: bytes = msgpack.packb(value)
    return data
