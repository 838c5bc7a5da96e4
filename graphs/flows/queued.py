"""The stage of a queue: hands a batch's events over, all at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from . import paths
from .event import Batch, Event
from .event_codec import EventCodec
from .step import Step


@dataclass(frozen=True, slots=True)
class Parcel:
    """A packed event and the key by which it keeps its place among others. One with a `token` is added once, however
    often it is handed over."""

    key: str
    data: bytes
    token: str = ""


class Handoff(Protocol):
    """Takes events over for good."""

    def put(self, parcels: Sequence[Parcel]) -> Sequence[Any] | None:
        """Adds each behind those of its key; the tails' answers, where they are there at once.

        Raises `LogFull` with the time to come again, and nothing is added; `ServerUnavailable`.
        """

    def close(self) -> None:
        """Gives connections back."""


@dataclass(frozen=True, slots=True)
class Queues:
    """How events are packed, and the hand-off of each queue step."""

    codec: EventCodec
    handoff: Callable[[Step], Handoff]


class Queued:
    """Hands events over; `values["tails"]` has what became of them already, by the queue's name."""

    def __init__(self, step: Step, queues: Queues) -> None:
        assert step.options.queue is not None
        self._name = step.name
        self._by = step.options.queue.by
        self._codec = queues.codec
        self._handoff = queues.handoff(step)

    def __call__(self, batch: Batch) -> None:
        if batch.events and batch.events[0].is_dry:  # an explanation's events are all of them dry
            return
        events, parcels = [], []
        for event in batch.events:
            try:
                parcels.append(self._parcel(event))
            except Exception as error:  # noqa: BLE001 - it is the event's own end
                batch.fail(event, error, self._name)
            else:
                events.append(event)
        if not events:
            return
        try:
            answers = self._handoff.put(parcels)
        except Exception as error:  # noqa: BLE001 - they all hear it
            for event in events:
                batch.fail(event, error, self._name)
            return
        for event, answer in zip(events, answers or (), strict=bool(answers)):
            event.values["tails"] = {self._name: answer}

    def close(self) -> None:
        """Gives the hand-off's connections back."""
        self._handoff.close()

    def _parcel(self, event: Event) -> Parcel:
        key = str(paths.get(event.body, self._by)) if self._by else event.id
        origin = event.origin
        token = "" if origin is None else f"{self._name}:{origin.source}:{origin.offset}{origin.part}"
        return Parcel(key, self._codec.packed(event), token)
