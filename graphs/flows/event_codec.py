"""Events as bytes, for a log that outlives whoever wrote it: plain values only, never pickles."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgpack
import numpy as np

from ...runtime.errors import InputError
from .event import Event
from .ports import Predictor
from .step import Step, walk


class EventCodec:
    """Packs and unpacks the events of one graph; `steps` are all of its steps, whose models it knows by their name."""

    def __init__(self, steps: Sequence[Step]) -> None:
        self._models: dict[str, Predictor] = {s.name: s.subject for s in walk(steps) if s.kind == "predict"}
        self._names = {id(model): name for name, model in self._models.items()}

    def packed(self, event: Event) -> bytes:
        """What steps may read of the event; raises `InputError` for what is no plain value."""
        row = None if event.row is None else event.row.tobytes()
        told = [event.id, event.body, event.values, list(event.names), row, event.score]
        try:
            data: bytes = msgpack.packb([*told, self._names.get(id(event.model))], default=_plain)
        except (TypeError, ValueError, OverflowError) as error:
            raise InputError(f"the event cannot be queued ({error}); let its body hold plain values") from None
        return data

    def event(self, packed: bytes) -> Event:
        """The event, as the steps behind the queue go on with it."""
        name, body, values, names, row, score, scorer = msgpack.unpackb(packed, strict_map_key=False)
        event = Event(body, name)
        event.values, event.names, event.score = values, tuple(names), score
        event.row = None if row is None else np.frombuffer(row, dtype=np.float64).copy()
        event.model = self._models.get(scorer) if scorer is not None else None
        return event


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} is none")
