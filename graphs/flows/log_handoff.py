"""Queues as event logs: a partition holds the events of some keys in their order, packed."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import polars as pl

from ...featurestore.events.backlog import Bound, Gate
from ...featurestore.events.log import EventLog, partition_of
from ...runtime.errors import LogFull
from ...runtime.settings import Settings
from .event_codec import EventCodec
from .queued import Handoff, Parcel, Queues
from .step import Step
from .step_options import QueueRule

EVENT = "event"
RETRY_AFTER_S = 2.0


class LogHandoff:
    """Adds to a log, and refuses what it has no room for at once: a request does not wait for a tail."""

    def __init__(self, log: EventLog, rule: QueueRule, *, name: str, close: Callable[[], None] = lambda: None) -> None:
        self._log = log
        self._close = close
        bound = Bound(events=max(1, rule.most_waiting // log.partitions))
        self._name = name
        self._gate = Gate(log, name=name, bound=bound)

    def put(self, parcels: Sequence[Parcel]) -> None:
        """Adds the events; those with a token one by one."""
        partitions = self._log.partitions
        homes = [partition_of(parcel.key, partitions) for parcel in parcels]
        try:
            self._gate.pass_through(set(homes), events=len(parcels), patience_s=0.0)
        except LogFull:
            told = f"queue {self._name!r} is full: come again in {RETRY_AFTER_S:g} s, or give it more workers"
            raise LogFull(told, retry_after_s=RETRY_AFTER_S) from None
        parts: dict[int, list[bytes]] = {}
        for home, parcel in zip(homes, parcels, strict=True):
            if parcel.token:
                self._log.append({home: _frame([parcel.data])}, token=parcel.token)
            else:
                parts.setdefault(home, []).append(parcel.data)
        if parts:
            self._log.append({home: _frame(packed) for home, packed in parts.items()})

    def close(self) -> None:
        """Gives the connection back."""
        self._close()


def _frame(packed: list[bytes]) -> pl.DataFrame:
    return pl.DataFrame({EVENT: pl.Series(packed, dtype=pl.Binary)})


def queue_name(namespace: str, graph: str, queue: str) -> str:
    """What a queue's log and its workers' leases are called."""
    return f"{namespace}/graph/{graph}/{queue}"


def open_queues(settings: Settings, graph: str, steps: Sequence[Step], *, namespace: str) -> Queues:
    """The queues of a graph on the server of the settings; raises `ServerUnavailable`."""
    from ...featurestore.events.redis_log import RedisLog
    from ...runtime import redis_client

    def handoff(step: Step) -> Handoff:
        rule = step.options.queue
        assert rule is not None
        client = redis_client.connect(settings, retries=redis_client.RESTART_RETRIES)
        name = queue_name(namespace, graph, step.name)
        log = RedisLog(client, settings, name=name, partitions=rule.partitions)
        return LogHandoff(log, rule, name=step.name, close=client.close)

    return Queues(EventCodec(steps), handoff)
