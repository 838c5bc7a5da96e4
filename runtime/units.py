"""Durations and sizes as people write them: "90s", "1h", "7d", "512Mi", "2Gi"."""

from __future__ import annotations

import re
from datetime import timedelta

from .errors import DefinitionError

_SECOND_US = 1_000_000
_DURATIONS_US = {
    "us": 1,
    "ms": 1_000,
    "s": _SECOND_US,
    "m": 60 * _SECOND_US,
    "h": 3_600 * _SECOND_US,
    "d": 86_400 * _SECOND_US,
    "w": 7 * 86_400 * _SECOND_US,
}
_SIZES = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}


def duration_us(text: str | timedelta) -> int:
    """Microseconds in `text` ("500ms", "90s", "1h", "7d", "2w") or in a timedelta; raises `DefinitionError`."""
    if isinstance(text, timedelta):
        return text // timedelta(microseconds=1)
    match = re.fullmatch(r"\s*(\d+)\s*(us|ms|s|m|h|d|w)\s*", text)
    if match is None or int(match[1]) == 0:
        raise DefinitionError(f"cannot read the duration {text!r}: write a number and a unit, like '90s', '1h' or '7d'")
    return int(match[1]) * _DURATIONS_US[match[2]]


def size_bytes(text: str | int) -> int:
    """Bytes in `text` ("512Mi", "2Gi", "1G") or in a plain number; raises `DefinitionError`."""
    if isinstance(text, int):
        return text
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(Ki|Mi|Gi|Ti|k|M|G|)B?\s*", text)
    if match is None:
        raise DefinitionError(f"cannot read the size {text!r}: write a number and a unit, like '512Mi' or '2Gi'")
    return int(float(match[1]) * _SIZES[match[2]])
