"""A tracked run: what was tried, with what result, and the port to where runs are kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Run:
    """One run of an experiment; `artifacts` are files by path inside the run, `parent` the id of the run it is part of.

    `status` is RUNNING, FINISHED, FAILED or KILLED; times are milliseconds since 1970 (`ended_ms` 0 while it runs).
    """

    experiment: str
    name: str = ""
    params: Mapping[str, str | int | float] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    artifacts: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    id: str = ""
    parent: str = ""
    status: str = ""
    started_ms: int = 0
    ended_ms: int = 0

    @property
    def duration_s(self) -> float | None:
        """How long it took; None while it runs."""
        return (self.ended_ms - self.started_ms) / 1000 if self.ended_ms else None


@dataclass(frozen=True, slots=True)
class Table:
    """What is known of a table that went into a run: the argument it came as, its size and content hash."""

    name: str
    kind: str
    rows: int
    columns: Mapping[str, str]
    content_hash: str

    def __str__(self) -> str:
        return f"{self.kind} {self.rows} x {len(self.columns)} #{self.content_hash[:12]}"


@dataclass(frozen=True, slots=True)
class Version:
    """A registered version of a model: where its folder is and which aliases point to it; `created_ms` since 1970."""

    name: str
    version: str
    run_id: str
    source: str
    aliases: tuple[str, ...] = ()
    created_ms: int = 0


class Tracker(Protocol):
    """Where runs and model versions are kept; see `mlflow_tracking`."""

    def warm_up(self) -> None:
        """Makes the store ready, so that no later call pays for that."""
        ...

    def log(self, run: Run) -> Run:
        """Writes a finished run; the same with its id."""
        ...

    def read(self, run_id: str) -> Run:
        """A run without its artifacts."""
        ...

    def add_folder(self, run_id: str, folder: Path, *, to: str) -> None:
        """Copies a folder into the run's artifacts."""
        ...

    def add_version(self, name: str, *, run_id: str, folder: str) -> Version:
        """Registers a folder of the run's artifacts as the next version of a model."""
        ...

    def versions(self, name: str) -> list[Version]:
        """The versions of a model, newest first; none where there is no such model."""
        ...

    def model_names(self) -> list[str]:
        """The registered models."""
        ...

    def set_alias(self, name: str, *, version: str, alias: str) -> None:
        """Points an alias to a version."""
        ...

    def tags(self, name: str) -> Mapping[str, str]:
        """What is noted at a model, beside its versions."""
        ...

    def set_tag(self, name: str, *, key: str, value: str) -> None:
        """Notes something at a model."""
        ...

    def fetch(self, version: Version) -> Path:
        """A local folder with that version's files."""
        ...
