"""Secrets of a home: one file that only its owner may read (mode 0600).

What protects them is the operating system's file permissions and nothing else: they are not encrypted, so root, a
backup and whoever runs code as this user can read them. A cluster's nodes are better served by their own environment.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .errors import InputError, NotFoundError, StorageError, did_you_mean


def put(home: Path, name: str, value: str) -> None:
    """Sets a secret; raises `InputError` for an empty value, `StorageError`."""
    if not value:
        raise InputError(f"secret {name!r}: the value is empty; to remove it use `eagleray secret delete {name}`")
    with _changing(home) as found:
        found[name] = value


def get(home: Path, name: str) -> str | None:
    """The value, None where there is none."""
    return _read(_path(home)).get(name)


def names(home: Path) -> list[str]:
    """The names that are set, sorted."""
    return sorted(_read(_path(home)))


def delete(home: Path, name: str) -> None:
    """Removes a secret; raises `NotFoundError`."""
    with _changing(home) as found:
        if name not in found:
            raise NotFoundError(f"no secret {name!r}{did_you_mean(name, found)}")
        del found[name]


def _path(home: Path) -> Path:
    return home / "secrets" / "secrets.json"


def _read(path: Path) -> dict[str, str]:
    try:
        found: dict[str, str] = json.loads(path.read_text())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise StorageError(f"cannot read {path} ({type(error).__name__}): set its secrets anew") from None
    return found


@contextmanager
def _changing(home: Path) -> Iterator[dict[str, str]]:
    path = _path(home)
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = os.open(path.with_name("lock"), os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise StorageError(f"cannot write {path} ({error.strerror}): set EAGLERAY_HOME to a writable folder") from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        found = _read(path)
        yield found
        fresh = path.with_name("secrets.new")
        fresh.unlink(missing_ok=True)
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            json.dump(found, file)
        fresh.replace(path)
    finally:
        os.close(lock)
