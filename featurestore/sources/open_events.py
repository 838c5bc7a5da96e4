"""Which event source an address names."""

from __future__ import annotations

from collections.abc import Mapping

from ...runtime.errors import DefinitionError
from .event_source import EventSource


def open_events(address: str, schema: Mapping[str, str] | None) -> EventSource:
    """The source at `redis://HOST:PORT/[DB/]STREAM` or `kafka://HOST:PORT/TOPIC`; rows are read by the schema
    (None: as they are).

    Raises `DefinitionError` for another address, `ServerUnavailable` when nobody answers there.
    """
    scheme = address.partition("://")[0]
    if scheme in ("redis", "rediss"):
        from .redis_source import RedisSource

        return RedisSource(address, schema)
    if scheme == "kafka":
        try:
            from .confluent_kafka_source import KafkaSource
        except ImportError:
            raise DefinitionError(
                "a Kafka source needs the package confluent-kafka: pip install 'eagleray[kafka]'"
            ) from None
        return KafkaSource(address, schema)
    raise DefinitionError(f"source {address!r}: write redis://HOST:PORT/STREAM or kafka://HOST:PORT/TOPIC")
