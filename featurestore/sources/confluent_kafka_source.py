"""Adapter: a Kafka topic as an event source; positions are Kafka's offsets, kept with our own, so no consumer group."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import numpy as np
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from ...runtime.errors import DefinitionError, InputError, ServerUnavailable
from ..events.log import DeadLetter
from .event_source import Fetched
from .messages import row_of_json

TIMEOUT_S = 10.0
WAIT_S = 0.05
_SHOWN_BYTES = 2_000


class KafkaSource:
    """One topic of JSON messages, a part a partition. Settings of the client stand behind a `?` in the address."""

    def __init__(self, address: str, schema: Mapping[str, str] | None) -> None:
        where = urlsplit(address)
        self._topic = where.path.strip("/")
        if not where.netloc or not self._topic:
            raise DefinitionError(f"source {address.partition('?')[0]!r}: write kafka://HOST:PORT/TOPIC")
        self._schema = None if schema is None else dict(schema)
        self.name = f"kafka://{where.netloc.rpartition('@')[2]}/{self._topic}"
        settings: dict[str, Any] = {
            "bootstrap.servers": where.netloc,
            "group.id": "eagleray",  # the library asks for one; nothing is ever committed under it
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "auto.offset.reset": "error",
            "isolation.level": "read_committed",
            "fetch.wait.max.ms": 50,  # a part that joins waits for the fetch that is on its way
            "log_level": 0,
            **dict(parse_qsl(where.query)),
        }
        try:
            self._consumer = Consumer(settings)
        except KafkaException as error:
            raise DefinitionError(f"source {self.name}: {error.args[0].str()}") from None
        self._at: dict[str, int] = {}  # the position that stands before what is waiting, by part
        self._waiting: dict[str, deque[Message]] = {}
        self._ended: set[str] = set()

    def parts(self) -> list[str]:
        """The topic's partitions; raises `ServerUnavailable`."""
        try:
            topic = self._consumer.list_topics(self._topic, timeout=TIMEOUT_S).topics[self._topic]
        except KafkaException as error:
            raise ServerUnavailable(
                f"cannot reach {self.name} ({error.args[0].str()}): start it or correct it"
            ) from None
        if topic.error is not None:
            raise ServerUnavailable(f"{self.name}: {topic.error.str()}")
        return [str(partition) for partition in sorted(topic.partitions)]

    def fetch(self, part: str, after: int, *, most: int) -> Fetched | None:
        """The next messages of a partition."""
        if self._at.get(part) != after:
            self._stand_behind(part, after)
        elif not self._waiting[part]:
            self._take(most, timeout_s=WAIT_S)
        found = [self._waiting[part].popleft() for _ in range(min(most, len(self._waiting[part])))]
        if not found:
            return None
        rows, positions, letters = [], [], []
        for message in found:
            try:
                rows.append(row_of_json(message.value(), self._schema))
                positions.append(_offset(message))
            except InputError as error:
                shown = (message.value() or b"")[:_SHOWN_BYTES].decode(errors="backslashreplace")
                letters.append(DeadLetter(f"{self.name} {part}:{_offset(message)}: {error}", shown))
        upto = self._at[part] = _offset(found[-1])
        return Fetched(rows, np.array(positions, dtype=np.int64), tuple(letters), upto)

    def close(self) -> None:
        """Gives the connections back."""
        self._consumer.close()

    def _stand_behind(self, part: str, after: int) -> None:
        """Reads the part from there on, beside those that are read already; waits for its first message or its end."""
        where = TopicPartition(self._topic, int(part), after + 1 if after >= 0 else self._beginning(part))
        if part in self._at:
            self._consumer.incremental_unassign([where])
        self._consumer.incremental_assign([where])
        self._at[part], self._waiting[part] = after, deque()
        self._ended.discard(part)
        deadline = time.monotonic() + TIMEOUT_S
        while not self._waiting[part] and part not in self._ended:
            if time.monotonic() > deadline:
                raise ServerUnavailable(f"{self.name} does not answer: start it or correct the address")
            self._take(1000, timeout_s=WAIT_S)

    def _take(self, most: int, *, timeout_s: float) -> None:
        """What has come, put by part."""
        try:
            messages = self._consumer.consume(most, timeout=timeout_s)
        except KafkaException as error:
            raise ServerUnavailable(f"cannot read {self.name}: {error.args[0].str()}") from None
        for message in messages:
            if self._is_message(message):
                self._waiting[str(message.partition())].append(message)

    def _beginning(self, part: str) -> int:
        where = TopicPartition(self._topic, int(part))
        try:
            found: tuple[int, int] = self._consumer.get_watermark_offsets(where, timeout=TIMEOUT_S)
        except KafkaException as error:
            raise ServerUnavailable(f"cannot reach {self.name}: {error.args[0].str()}") from None
        return found[0]

    def _is_message(self, one: Message) -> bool:
        error = one.error()
        if error is None:
            return True
        if error.code() == KafkaError._PARTITION_EOF:
            self._ended.add(str(one.partition()))
            return False
        if error.code() in (KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE):
            raise ServerUnavailable(
                f"{self.name} no longer has the messages that come next: it dropped them before they were read; "
                "keep them longer"
            )
        raise ServerUnavailable(f"cannot read {self.name}: {error.str()}")


def _offset(message: Message) -> int:
    found = message.offset()
    return -1 if found is None else int(found)
