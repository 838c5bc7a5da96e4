"""Adapter: the catalog, a table of versioned documents, on SQLite or any database SQLAlchemy speaks to."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, replace
from typing import Any

import sqlalchemy as sql

from .sql_database import Database

_tables = sql.MetaData()
_documents = sql.Table(
    "eagleray_documents",
    _tables,
    sql.Column("kind", sql.String(64), primary_key=True),
    sql.Column("name", sql.String(255), primary_key=True),
    sql.Column("version", sql.Integer, primary_key=True),
    sql.Column("content_hash", sql.String(64), nullable=False),
    sql.Column("body", sql.JSON, nullable=False),
    sql.Column("created_us", sql.BigInteger, nullable=False),
    sql.Column("active", sql.Boolean, nullable=False),
)


@dataclass(frozen=True, slots=True)
class Document:
    """One version of something named; `body` holds plain JSON types."""

    kind: str
    name: str
    version: int
    content_hash: str
    body: dict[str, Any]
    created_us: int
    active: bool


class Catalog:
    """Documents by kind and name; versions are immutable, and one of them is active."""

    def __init__(self, url: str) -> None:
        self._database = Database(url, _tables)

    def put(self, kind: str, name: str, *, content_hash: str, body: dict[str, Any], activate: bool = True) -> Document:
        """Activates the version with this content, made when there is none; atomic.

        Without `activate` it is only made, and whichever is active stays so.
        """
        here = (_documents.c.kind == kind) & (_documents.c.name == name)
        try:
            self._write(here, Document(kind, name, 0, content_hash, body, time.time_ns() // 1000, activate))
        except sql.exc.IntegrityError:
            # Another process made a version at the same moment: look again, it may be this very content.
            self._write(here, Document(kind, name, 0, content_hash, body, time.time_ns() // 1000, activate))
        return next(one for one in self.versions(kind, name) if one.content_hash == content_hash)

    def active(self, kind: str, name: str) -> Document | None:
        """The active version, None when nothing has that name."""
        chosen = (_documents.c.kind == kind) & (_documents.c.name == name) & _documents.c.active
        return next(iter(self._read(chosen)), None)

    def versions(self, kind: str, name: str) -> list[Document]:
        """Every version of one thing, the first one first; none when nothing has that name."""
        found = self._read((_documents.c.kind == kind) & (_documents.c.name == name))
        return sorted(found, key=lambda document: document.version)

    def all_active(self, kind: str) -> list[Document]:
        """The active version of everything of this kind, by name."""
        return self._read((_documents.c.kind == kind) & _documents.c.active)

    def close(self) -> None:
        """Gives the connections back."""
        self._database.close()

    def _write(self, here: sql.ColumnElement[bool], document: Document) -> None:
        with self._database.writing() as connection:
            known = connection.execute(sql.select(_documents).where(here)).all()
            same = [row for row in known if row.content_hash == document.content_hash]
            version = same[0].version if same else max((row.version for row in known), default=0) + 1
            if document.active:
                connection.execute(sql.update(_documents).where(here).values(active=False))
            if same and document.active:
                chosen = sql.update(_documents).where(here, _documents.c.version == version)
                connection.execute(chosen.values(active=True))
            elif not same:
                connection.execute(sql.insert(_documents).values(asdict(replace(document, version=version))))

    def _read(self, chosen: sql.ColumnElement[bool]) -> list[Document]:
        with self._database.reading() as connection:
            rows = connection.execute(sql.select(_documents).where(chosen).order_by(_documents.c.name)).mappings()
            return [Document(**row) for row in rows]
