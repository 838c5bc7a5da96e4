"""A text written where the user says."""

from __future__ import annotations

from pathlib import Path

from .errors import StorageError


def write_text(path: str | Path, text: str) -> Path:
    """Writes the file and gives its path; raises `StorageError`."""
    place = Path(path)
    try:
        place.write_text(text, encoding="utf-8")
    except OSError as error:
        raise StorageError(f"cannot write {place} ({error.strerror or error}): choose another place") from None
    return place
