"""A hash of what an object holds: equal for equal objects, wherever and in whatever order they were made."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ...runtime.bundle import content_hash

_PLAIN = (bool, int, float, complex, str, bytes, type(None), np.generic)


def learned_content(item: Any) -> str:
    """Hex digits; arrays count by their values, functions and the user's own classes by their code.

    A pickle's bytes would not do: they tell which of two equal parts are one object, and how an array lies in memory.
    """
    digest = hashlib.sha256()
    _walk(item, digest.update, set())
    return digest.hexdigest()


def _walk(item: Any, tell: Callable[[bytes], object], seen: set[int]) -> None:
    if isinstance(item, _PLAIN):
        tell(f"{type(item).__name__}:{item!r};".encode())
        return
    if isinstance(item, np.ndarray) and item.dtype != object:
        tell(f"{item.dtype.descr}{item.shape}".encode() + np.ascontiguousarray(item).tobytes())
        return
    if isinstance(item, type) or hasattr(item, "__code__"):
        tell(content_hash(item).encode())
        return
    if id(item) in seen:  # a circle
        tell(b"again;")
        return
    seen.add(id(item))
    _walk_parts(item, tell, seen)
    seen.discard(id(item))


def _walk_parts(item: Any, tell: Callable[[bytes], object], seen: set[int]) -> None:
    tell(f"{type(item).__module__}.{type(item).__qualname__}(".encode())
    if isinstance(item, Mapping):
        for key, value in sorted(item.items(), key=lambda pair: repr(pair[0])):
            _walk(key, tell, seen)
            _walk(value, tell, seen)
    elif isinstance(item, set | frozenset):
        for one in sorted(item, key=repr):
            _walk(one, tell, seen)
    elif isinstance(item, list | tuple):
        for one in item:
            _walk(one, tell, seen)
    elif isinstance(item, np.ndarray):
        _walk(item.tolist(), tell, seen)
    else:
        reduced = item.__reduce_ex__(4)
        parts = [reduced] if isinstance(reduced, str) else reduced[1:3]
        for part in parts:
            _walk(part, tell, seen)
        for items in () if isinstance(reduced, str) else reduced[3:5]:
            _walk(list(items or ()), tell, seen)
    tell(b")")
