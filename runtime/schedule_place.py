"""Which schedules of a catalog belong together: those of one home's Ray, or those of one cluster.

A catalog may be shared: what one machine tries out must not be run by the cluster, nor the other way round.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from . import lasting
from .errors import StorageError
from .settings import Settings

if TYPE_CHECKING:
    from .sql_schedules import ScheduleBook


def place_of(settings: Settings) -> str:
    """The place's name: the same for every process, and after every restart of its Ray."""
    address = at_home(settings).ray_address
    if address is not None:
        return f"ray:{address.removeprefix('ray://').rpartition(':')[0] or address}"
    return "home" if settings.catalog_url is None else f"home:{_home_id(settings.home)}"


def at_home(settings: Settings) -> Settings:
    """The settings as every process of the place has them: Ray gives its jobs the address of the home's own Ray."""
    found = lasting.find(settings.home) if settings.ray_address is not None else None
    own = found is not None and found.address == settings.ray_address
    return replace(settings, ray_address=None) if own else settings


def book_of(settings: Settings) -> ScheduleBook:
    """The schedules of the settings' place."""
    from .sql_schedules import ScheduleBook

    return ScheduleBook(settings.catalog, place_of(settings))


def has_schedules(settings: Settings) -> bool:
    """Whether any is kept there; makes no catalog where there is none."""
    if settings.catalog_url is None and not (settings.home / "catalog.db").exists():
        return False
    book = book_of(settings)
    try:
        return bool(book.entries())
    finally:
        book.close()


def _home_id(home: Path) -> str:
    path = home / "id"
    try:
        home.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(handle, "w") as file:
                file.write(secrets.token_hex(8))
        return path.read_text()
    except OSError as error:
        raise StorageError(f"cannot write {path} ({error.strerror}): set EAGLERAY_HOME to a writable folder") from None
