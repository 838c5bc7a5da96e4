"""Connections to Redis or Valkey: the embedded server, or the one the settings name."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import redis
from redis.backoff import ExponentialBackoff
from redis.retry import Retry

from .errors import ServerUnavailable, StorageError
from .settings import Settings

Client = redis.Redis
CONNECT_TIMEOUT_S = 3.0
_REFUSED_WRITE = re.compile(
    r"MISCONF [^:.]*(: [^:.]* space left on device)?|OOM command[^.]*|used memory > .maxmemory."
)
_UNREACHABLE = (
    redis.exceptions.ConnectionError,
    redis.exceptions.TimeoutError,
    redis.exceptions.ClusterDownError,
    redis.exceptions.RedisClusterException,
)
RESTART_RETRIES = 12  # some 5 seconds


def connect(settings: Settings, *, retries: int = 0) -> redis.Redis:
    """A client that has been heard to answer, bytes in and out; raises `ServerUnavailable` with the cure.

    `retries` repeats a command whose connection broke: only for commands that may run twice.
    """
    url = settings.redis_url
    if url is None:
        from . import valkey_server

        url = valkey_server.ensure(settings.home).url
    try:
        client = redis.Redis.from_url(
            url, socket_connect_timeout=CONNECT_TIMEOUT_S, retry=_retry(retries), decode_responses=False
        )
    except ValueError as error:
        raise ServerUnavailable(
            f"{_variable(settings)} is no Redis address ({error}): write redis://HOST:PORT/0"
        ) from None
    try:
        with translated(settings):
            # A server that was killed a moment ago is being started again by its guardian.
            _retry(RESTART_RETRIES if settings.redis_url is None else 0).call_with_retry(client.ping, lambda _: None)
    except ServerUnavailable:
        client.close()
        raise
    return client


def clustered(client: redis.Redis, settings: Settings) -> bool:
    """Whether the server is part of a cluster."""
    with translated(settings):
        return bool(client.info("cluster").get("cluster_enabled"))


def connect_cluster(settings: Settings) -> redis.RedisCluster:
    """A client of the whole cluster that the named server belongs to."""
    with translated(settings):
        return redis.RedisCluster.from_url(
            str(settings.redis_url), socket_connect_timeout=CONNECT_TIMEOUT_S, decode_responses=False
        )


def _retry(times: int) -> Retry:
    return Retry(ExponentialBackoff(cap=0.5, base=0.05), times)


@contextmanager
def translated(settings: Settings) -> Iterator[None]:
    """Turns the client's errors into eagleray's, with the cure and without the password."""
    try:
        yield
    except redis.exceptions.AuthenticationError as error:
        raise ServerUnavailable(
            f"{_where(settings)} refused the password: correct it in {_variable(settings)}"
        ) from error
    except _UNREACHABLE as error:
        raise ServerUnavailable(f"cannot reach {_where(settings)}: {_cure(settings)}") from error
    except redis.exceptions.ResponseError as error:
        # A pipeline wraps the server's words in its own, so they may stand anywhere.
        cause = _REFUSED_WRITE.search(str(error))
        if cause is None and not isinstance(error, redis.exceptions.OutOfMemoryError):
            raise
        why = cause[0] if cause else "out of memory"
        raise StorageError(f"{_where(settings)} cannot write ({why}): free disk or memory, then retry") from error


def _variable(settings: Settings) -> str:
    return "EAGLERAY_ONLINE_URL" if settings.redis_url == settings.online_url is not None else "EAGLERAY_REDIS_URL"


def _where(settings: Settings) -> str:
    if settings.redis_url is None:
        return "the embedded Valkey server"
    parts = urlsplit(settings.redis_url)
    return f"the server at {parts.hostname}:{parts.port or 6379} ({_variable(settings)})"


def _cure(settings: Settings) -> str:
    if settings.redis_url is None:
        return f"it ended; the next call starts it again (its log: {settings.home / 'valkey' / 'server.log'})"
    return f"start it, correct the address, or unset {_variable(settings)} to use the embedded server"
