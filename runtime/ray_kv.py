"""Small shared notes in the cluster's own key-value store: readable by every process of the cluster, gone with it."""

from __future__ import annotations

from ray.experimental import internal_kv

_NAMESPACE = b"eagleray"


def put(key: str, value: bytes) -> None:
    """Stores `value`; some 0.3 ms, so for what changes seldom."""
    internal_kv._internal_kv_put(key.encode(), value, overwrite=True, namespace=_NAMESPACE)


def get(key: str) -> bytes | None:
    """What was stored under `key`, or None."""
    value = internal_kv._internal_kv_get(key.encode(), namespace=_NAMESPACE)
    return None if value is None else bytes(value)


def delete(key: str) -> None:
    """Forgets `key`; no error when there is none."""
    internal_kv._internal_kv_del(key.encode(), namespace=_NAMESPACE)


def keys(prefix: str) -> list[str]:
    """The keys that begin so."""
    found = internal_kv._internal_kv_list(prefix.encode(), namespace=_NAMESPACE)
    return [bytes(key).decode() for key in found]
