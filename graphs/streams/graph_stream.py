"""A graph that works through what other programs write, in this process."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from ...featurestore.events.log import DeadLetter
from ...featurestore.events.membership import TTL_MS
from ...runtime.errors import StorageError
from ...runtime.retries import Retries
from ...runtime.settings import Settings
from ..flows.compile import Compiled, compiled, resolved
from ..flows.outside import Outside
from ..flows.ports import TapSource
from ..flows.step import Declared, Step
from .answers import Answers
from .consumer import Consumer, Status, status_of
from .opened import Opened, open_queue, open_source, tail_of
from .worker import Live, Worker

if TYPE_CHECKING:
    from ...featurestore.sources.event_source import EventSource
    from ...featurestore.store import FeatureStore

_POLL_S = 0.02


@dataclass(frozen=True, slots=True)
class StreamOptions:
    """`answers` is the stream that answers go to, as entries with the fields `id` and `answer` (JSON). `schema` says of
    which type each field of a message is (None: JSON as it is, other fields as text). What fails is tried again as
    `retries` say, then put aside. Another consumer follows after `lease_s` where one dies without a word."""

    answers: str | None = None
    schema: Mapping[str, str] | None = None
    retries: Retries = Retries(3, on=(Exception,), backoff_s=0.1)
    lease_s: float = TTL_MS / 1000


@dataclass(frozen=True, slots=True)
class Behind:
    """What stands behind a `queue` of a graph; `steps` are all of the graph's."""

    graph: str
    steps: tuple[Step, ...]
    queue: str
    rescue: Callable[..., Any] | None = None
    tap: TapSource | None = None


class GraphStream:
    """Works from when it is made until it is closed. Every event counts once in state steps, in queues and among the
    answers, whoever is killed; a function that does something elsewhere tells it by its `event.id`."""

    def __init__(
        self,
        opened: Opened,
        made: Compiled,
        *,
        retries: Retries,
        answers: Answers | None = None,
        owner: str = "",
        ttl_ms: int = TTL_MS,
        live: Live | None = None,
    ) -> None:
        self._opened, self._made, self._answers = opened, made, answers
        self._worker = Worker(opened.feed, made.flow, retries=retries, answers=answers, live=live)
        self._consumer = Consumer(opened.feed, self._worker, opened.leases, owner=owner, ttl_ms=ttl_ms)
        self._is_open = True

    @classmethod
    def of_source(
        cls,
        graph: Declared,
        source: str | EventSource,
        *,
        store: FeatureStore | None,
        settings: Settings,
        options: StreamOptions,
    ) -> Self:
        """A graph over a source; its queues are passed through, as nobody waits for the answers."""
        made = compiled(
            graph.name, _inline(resolved(graph, settings)), rescue=graph.rescue, settings=settings, store=store
        )
        return cls._over(graph.name, made, source, settings=settings, options=options)

    @classmethod
    def of_steps(
        cls,
        graph: str,
        steps: tuple[Step, ...],
        source: str,
        *,
        rescue: Callable[..., Any] | None,
        settings: Settings,
        options: StreamOptions,
        owner: str,
    ) -> Self:
        """The same of resolved steps, where it arrived; `owner` is the name that its leases are held under."""
        made = compiled(graph, _inline(steps), rescue=rescue, settings=settings)
        return cls._over(graph, made, source, settings=settings, options=options, owner=owner)

    @classmethod
    def _over(
        cls,
        graph: str,
        made: Compiled,
        source: str | EventSource,
        *,
        settings: Settings,
        options: StreamOptions,
        owner: str = "",
    ) -> Self:
        opened = open_source(settings, graph, source, schema=options.schema)
        answers: Answers | None = None
        if options.answers is not None:
            from .redis_answers import open_answers

            answers = open_answers(options.answers, settings)
        ttl_ms = round(1000 * options.lease_s)
        return cls(opened, made, retries=options.retries, answers=answers, owner=owner, ttl_ms=ttl_ms)

    @classmethod
    def of_queue(cls, behind: Behind, *, settings: Settings, owner: str = "", live: Live | None = None) -> Self:
        """What stands behind a queue."""
        tail = tail_of(behind.steps, behind.queue)
        made = compiled(
            behind.graph, tail.steps, rescue=behind.rescue, settings=settings, tap=behind.tap,
            outside=None if live is None else Outside(meters=live.meters),
        )  # fmt: skip
        opened = open_queue(settings, behind.graph, behind.steps, behind.queue)
        return cls(opened, made, retries=tail.rule.retries, owner=owner, live=live)

    def status(self) -> Status:
        """What waits, what was put aside, and how each consumer does, in whatever process."""
        return status_of(self._opened.feed, self._opened.leases)

    def dead_letters(self, *, most: int = 100) -> list[DeadLetter]:
        """What was put aside, newest last, with the reason; `row` holds the event's id and body as JSON."""
        return self._opened.feed.buried(most=most)

    @property
    def events(self) -> int:
        """How many it has worked through since it began."""
        return self._consumer.events

    @property
    def last_error(self) -> str | None:
        """What keeps it from working now; None where nothing does."""
        return self._consumer.last_error

    def wait_until_done(self, *, timeout_s: float = 60.0) -> None:
        """Returns once nothing waits; raises `StorageError` after `timeout_s`."""
        deadline = time.monotonic() + timeout_s
        while waiting := self._opened.feed.waiting():
            if time.monotonic() > deadline:
                why = self.last_error or "is the machine overloaded?"
                raise StorageError(f"{self._opened.feed.name}: {waiting} events wait after {timeout_s:g} s: {why}")
            time.sleep(_POLL_S)

    def close(self) -> None:
        """Ends after the step it is at; the next one goes on from there."""
        if not self._is_open:
            return
        self._is_open = False
        self._consumer.close()
        self._worker.close()
        self._made.close()
        self._opened.feed.close()
        if self._answers is not None:
            self._answers.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"GraphStream({json.dumps(self._opened.feed.name)}, {self.events} events)"


def _inline(steps: tuple[Step, ...]) -> tuple[Step, ...]:
    return tuple(step for step in steps if step.kind != "queue")
