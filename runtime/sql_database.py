"""Adapter: one database of the catalog's, on SQLite or any that SQLAlchemy speaks to."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sql

from .errors import ServerUnavailable, StorageError

_BUSY_S = 30


class Database:
    """Its tables are made where they are missing; safe to use from several threads. `close` gives its connections back.

    Raises `StorageError` for a place that cannot be written to, `ServerUnavailable` for a server that fails.
    """

    def __init__(self, url: str, tables: sql.MetaData) -> None:
        self._url = sql.make_url(url)
        local = self._url.get_backend_name() == "sqlite"
        if local and self._url.database:
            try:
                Path(self._url.database).parent.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                folder = Path(self._url.database).parent
                raise StorageError(f"cannot make {folder}: {error.strerror}; set EAGLERAY_HOME to another") from error
        self._engine = sql.create_engine(self._url, connect_args={"timeout": _BUSY_S} if local else {})
        with self._translated():
            tables.create_all(self._engine)

    @contextmanager
    def reading(self) -> Iterator[sql.Connection]:
        """A connection to read from."""
        with self._translated(), self._engine.connect() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[sql.Connection]:
        """A connection whose block is one transaction."""
        with self._translated(), self._engine.begin() as connection:
            yield connection

    def close(self) -> None:
        """Gives the connections back."""
        self._engine.dispose()

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except sql.exc.OperationalError as error:
            where = self._url.render_as_string(hide_password=True)
            cause = str(error.orig).splitlines()[0]
            raise ServerUnavailable(
                f"the catalog {where} failed: {cause}; check EAGLERAY_CATALOG_URL and the disk"
            ) from error
