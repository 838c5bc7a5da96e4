"""What a worker does with the events of one part: answers them, tries again what failed, puts aside what goes on
failing, and only then notes that they are done."""

from __future__ import annotations

import base64
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import orjson

from ...featurestore.events.log import DeadLetter
from ...runtime.errors import EaglerayError, Fenced, InputError, LogFull, ServerUnavailable, StorageError
from ...runtime.retries import Retries
from ..flows.event import Batch, Event
from ..flows.flow import Flow
from ..flows.meter import Figures
from ..flows.own_loop import OwnLoop
from ..flows.step import walk
from .answers import Answer, Answers
from .feed import Feed, Taken

EVENTS_A_STEP = 256
_WRITE = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS
# An error of ours in these steps is no fault of an event: all wait until the server is back, or there is room.
_OWN_SERVERS = ("enrich", "state", "queue")
_AWAY = (ServerUnavailable, StorageError, LogFull, Fenced)


@dataclass(slots=True)
class Counts:
    """What a worker has done: events that it worked through, and of these those that it put aside."""

    events: int = 0
    failed: int = 0
    again: int = 0


class Live(Protocol):
    """Who tells others what the steps do: `meters` get their figures by name, `worked` is called after each turn."""

    meters: dict[str, Figures]

    def worked(self) -> None:
        """There is something to tell."""


class Worker:
    """Takes from a feed to a flow and, where there is such a stream, to the answers'."""

    def __init__(
        self,
        feed: Feed,
        flow: Flow,
        *,
        retries: Retries,
        answers: Answers | None = None,
        wait: Callable[[float], object] | None = None,
        live: Live | None = None,
    ) -> None:
        self._feed = feed
        self._flow = flow
        self._retries = retries
        self._answers = answers
        self._live = live
        self._wait = wait or threading.Event().wait
        self._loop = OwnLoop() if flow.is_async else None
        self._ours = {step.name for step in walk(flow.steps) if step.kind in _OWN_SERVERS}
        self._answered: dict[str, int] = {}
        self.counts = Counts()

    def begin(self, part: str) -> None:
        """Goes to where the part was left; for who has taken it over."""
        at = self._feed.begin(part)
        if self._answers is not None:
            # What a server of answers has lost for good must not keep the others from coming.
            self._answered[part] = min(at, self._answers.come(f"{self._feed.name}:{part}"))

    def step(self, part: str, *, most: int = EVENTS_A_STEP) -> int:
        """Works through the next events of a part; their number, 0 for none.

        Raises what keeps all events from being worked on (a server that is away, a queue behind that is full): then
        nothing is noted, and what was done already does not count twice.
        """
        taken = self._feed.take(part, most=most)
        if taken is None:
            return 0
        found = self._outcomes(taken)
        letters, answers = [], []
        for place, origin in enumerate(taken.origins):
            event, outcome = found[place]
            if isinstance(outcome, Exception):
                letters.append(self._letter(taken, place, event, outcome))
            elif self._answers is not None and outcome[0] is not None:
                answers.append(Answer(origin.offset, event.id, orjson.dumps(outcome[0], option=_WRITE)))
        if self._answers is not None:
            since = self._answered[part]
            self._answers.put(f"{self._feed.name}:{part}", answers, since=since, upto=taken.upto)
            self._answered[part] = taken.upto
        events, failed = len(taken.packed) + len(taken.letters), len(letters) + len(taken.letters)
        # Counted first: who sees that nothing waits any more finds all of it counted.
        self._count(events, failed)
        try:
            self._feed.done(taken, letters)
        except BaseException:
            self._count(-events, -failed)
            raise
        if self._live is not None:
            self._live.worked()
        return events

    def _count(self, events: int, failed: int) -> None:
        self.counts.events += events
        self.counts.failed += failed

    def close(self) -> None:
        """Closes the flow."""
        if self._loop is not None:
            self._loop.close()

    def _outcomes(self, taken: Taken) -> dict[int, tuple[Event, Any]]:
        """Each event, and its answers or the error that it goes on failing with."""
        found: dict[int, tuple[Event, Any]] = {}
        places = list(range(len(taken.packed)))
        for attempt in range(self._retries.attempts + 1):
            batches = [Batch([self._feed.event(taken.packed[p], taken.origins[p])]) for p in places]
            outcomes = self._run(batches)
            for place, batch, outcome in zip(places, batches, outcomes, strict=True):
                if isinstance(outcome, _AWAY) and batch.step in self._ours:
                    raise outcome
                found[place] = (batch.origins[0], outcome)
            places = [place for place in places if self._may_pass(found[place][1])]
            if not places or attempt == self._retries.attempts:
                break
            self.counts.again += len(places)
            self._wait(self._retries.delay_s(attempt))
        return found

    def _run(self, batches: list[Batch]) -> Sequence[Any]:
        if self._loop is None:
            return self._flow.run_together(batches)
        return self._loop.run(self._flow.run_together_async(batches))

    def _may_pass(self, outcome: Any) -> bool:
        if not isinstance(outcome, Exception) or isinstance(outcome, InputError):
            return False
        return isinstance(outcome, self._retries.on or (EaglerayError, OSError, TimeoutError))

    def _letter(self, taken: Taken, place: int, event: Event, error: Exception) -> DeadLetter:
        origin = taken.origins[place]
        failed = event.failure() or event
        body = self._feed.event(taken.packed[place], origin).body
        # The event whole, for who gives it another chance.
        told = {"id": event.id, "body": body, "event": base64.b64encode(taken.packed[place]).decode()}
        row = orjson.dumps(told, option=_WRITE, default=repr).decode()
        reason = f"{failed.step}: {type(error).__name__}: {error}"
        return DeadLetter(reason, row, self._feed.place(taken.part, origin.offset))
