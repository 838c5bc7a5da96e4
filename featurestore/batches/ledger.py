"""The ledger of batch ingestions: which of them are done, so that nobody reads a source again for nothing."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from ...runtime.sql_catalog import Catalog

KIND = "ingestion"


class Ledger(Protocol):
    """What is done; whether a single row counts does not hang on it."""

    def is_done(self, ingestion: str) -> bool:
        """True once it was noted."""

    def note(self, ingestion: str, *, source: str, rows: int) -> None:
        """This ingestion is done: so many rows of that source."""


@dataclass(frozen=True, slots=True)
class CatalogLedger:
    """The ledger of one feature set version, kept in the catalog."""

    catalog: Catalog
    table: str

    def is_done(self, ingestion: str) -> bool:
        """True once it was noted."""
        return self.catalog.active(KIND, f"{self.table}:{ingestion}") is not None

    def note(self, ingestion: str, *, source: str, rows: int) -> None:
        """This ingestion is done."""
        body = {"source": source, "rows": rows, "done_us": time.time_ns() // 1000}
        self.catalog.put(KIND, f"{self.table}:{ingestion}", content_hash=ingestion, body=body)


class MemoryLedger:
    """The same in one process's memory."""

    def __init__(self) -> None:
        self._done: set[str] = set()

    def is_done(self, ingestion: str) -> bool:
        """True once it was noted."""
        return ingestion in self._done

    def note(self, ingestion: str, *, source: str, rows: int) -> None:
        """This ingestion is done."""
        self._done.add(ingestion)
