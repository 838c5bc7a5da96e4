"""Adapter: the runs of pipelines in the catalog; a row a run, a row a step, a row a cached output.

Who drives a run holds its epoch; who resumes it raises that, and what the one before still writes is refused.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, replace
from typing import Any, TypeVar

import sqlalchemy as sql

from ...runtime.errors import Fenced, InputError, NotFoundError
from ...runtime.sql_database import Database
from .records import RUNNING, Cached, RunRecord, StepRecord

T = TypeVar("T")
_tables = sql.MetaData()
_runs = sql.Table(
    "eagleray_pipeline_runs",
    _tables,
    sql.Column("id", sql.String(32), primary_key=True),
    sql.Column("pipeline", sql.String(100), nullable=False),
    sql.Column("shape", sql.String(64), nullable=False),
    sql.Column("status", sql.String(16), nullable=False),
    sql.Column("parameters", sql.JSON, nullable=False),
    sql.Column("shown", sql.JSON, nullable=False),
    sql.Column("tracked", sql.String(64), nullable=False),
    sql.Column("owner", sql.String(255), nullable=False),
    sql.Column("epoch", sql.Integer, nullable=False),
    sql.Column("workers", sql.String(16), nullable=False),
    sql.Column("started_us", sql.BigInteger, nullable=False),
    sql.Column("ended_us", sql.BigInteger),
    sql.Column("error", sql.Text, nullable=False),
    sql.Index("eagleray_pipeline_runs_latest", "pipeline", "started_us"),
    sql.Index("eagleray_pipeline_runs_started", "started_us"),
)
_steps = sql.Table(
    "eagleray_pipeline_steps",
    _tables,
    sql.Column("run", sql.String(32), primary_key=True),
    sql.Column("step", sql.String(128), primary_key=True),
    sql.Column("status", sql.String(16), nullable=False),
    sql.Column("place", sql.Integer, nullable=False),
    sql.Column("output", sql.String(80), nullable=False),
    sql.Column("about", sql.String(255), nullable=False),
    sql.Column("key", sql.String(64), nullable=False),
    sql.Column("tracked", sql.String(64), nullable=False),
    sql.Column("started_us", sql.BigInteger),
    sql.Column("ended_us", sql.BigInteger),
    sql.Column("error", sql.Text, nullable=False),
)
_cache = sql.Table(
    "eagleray_pipeline_cache",
    _tables,
    sql.Column("key", sql.String(64), primary_key=True),
    sql.Column("output", sql.String(80), nullable=False),
    sql.Column("about", sql.String(255), nullable=False),
    sql.Column("tracked", sql.String(64), nullable=False),
    sql.Column("made_us", sql.BigInteger, nullable=False),
)
_AT_ONCE = 500  # names in one statement; databases hold between 1,000 and 32,000
_MOST_ERROR = 2_000
_MOST_ABOUT = 255
_FEW = 8  # characters of an id that say which is meant


class PipelineBook:
    """Runs, their steps, and outputs by their code and inputs; `close` gives its connections back."""

    def __init__(self, url: str) -> None:
        self._database = Database(url, _tables)

    def begin(self, record: RunRecord) -> None:
        """Adds a run."""
        with self._database.writing() as connection:
            connection.execute(sql.insert(_runs).values(asdict(record)))

    def take_over(self, record: RunRecord, *, owner: str, workers: str, tracked: str) -> RunRecord:
        """Makes `owner` the one who drives a run, unless another was quicker since `record` was read: `InputError`."""
        fresh = replace(
            record, owner=owner, epoch=record.epoch + 1, workers=workers, tracked=tracked, status=RUNNING,
            ended_us=None, error="",
        )  # fmt: skip
        mine = sql.update(_runs).where(_runs.c.id == record.id, _runs.c.epoch == record.epoch)
        values = {name: getattr(fresh, name) for name in ("owner", "epoch", "workers", "tracked", "status", "error")}
        with self._database.writing() as connection:
            if connection.execute(mine.values(**values, ended_us=None)).rowcount != 1:
                raise InputError(f"run {record.id[:_FEW]} has just been resumed by another: wait for that one")
        return fresh

    def write(self, run: RunRecord, steps: Sequence[StepRecord], cached: Sequence[Cached] = ()) -> None:
        """Sets the rows of these steps, and what is cached, in one transaction; raises `Fenced`."""
        if not steps and not cached:
            return
        rows = [_short(asdict(one)) for one in {one.step: one for one in steps}.values()]
        with self._database.writing() as connection:
            # Locks the row, so that nobody takes the run over between this look and the end of the transaction.
            mine = sql.update(_runs).where(_runs.c.id == run.id, _runs.c.epoch == run.epoch)
            if connection.execute(mine.values(epoch=run.epoch)).rowcount != 1:
                raise Fenced(f"run {run.id[:_FEW]} was resumed by another process, which goes on with it")
            for some in _parts([row["step"] for row in rows]):
                here = (_steps.c.run == run.id) & _steps.c.step.in_(some)
                connection.execute(sql.delete(_steps).where(here))
            if rows:
                connection.execute(sql.insert(_steps), rows)
        if cached:
            self._cache(cached)

    def end(self, run: RunRecord, status: str, *, error: str = "") -> RunRecord:
        """Writes how a run has ended; raises `Fenced`."""
        ended = replace(run, status=status, ended_us=time.time_ns() // 1000, error=error[:_MOST_ERROR])
        mine = sql.update(_runs).where(_runs.c.id == run.id, _runs.c.epoch == run.epoch)
        with self._database.writing() as connection:
            changed = connection.execute(
                mine.values(status=status, ended_us=ended.ended_us, error=ended.error)
            ).rowcount
        if changed != 1:
            raise Fenced(f"run {run.id[:_FEW]} was resumed by another process, which goes on with it")
        return ended

    def run(self, run_id: str, *, pipeline: str | None = None) -> RunRecord:
        """One run by its id, its first characters, or "last"; raises `NotFoundError`, `InputError` for several."""
        of_it = sql.true() if pipeline is None else _runs.c.pipeline == pipeline
        if run_id == "last":
            found = self.runs(pipeline=pipeline, limit=1)
        else:
            # As a range, which every database finds by its index: an id's digits all come before "g".
            found = self._runs(_runs.c.id >= run_id, _runs.c.id < f"{run_id}g", of_it, limit=2)
        if not found:
            what = "no run yet" if run_id == "last" else f"no run {run_id!r}"
            raise NotFoundError(f"{pipeline or 'pipelines'}: {what}; `eagleray pipeline list` names them")
        if len(found) > 1:
            raise InputError(f"several runs begin with {run_id!r}: give more of it")
        return found[0]

    def runs(self, *, pipeline: str | None = None, limit: int = 20) -> list[RunRecord]:
        """The latest runs, of one pipeline or of all."""
        return self._runs(sql.true() if pipeline is None else _runs.c.pipeline == pipeline, limit=limit)

    def steps(self, run_id: str) -> dict[str, StepRecord]:
        """The steps of a run that have begun, by name, in their order."""
        chosen = sql.select(_steps).where(_steps.c.run == run_id).order_by(_steps.c.place)
        with self._database.reading() as connection:
            return {row["step"]: StepRecord(**row) for row in connection.execute(chosen).mappings()}

    def step(self, run_id: str, name: str) -> StepRecord | None:
        """One step, None where it has not begun."""
        chosen = sql.select(_steps).where(_steps.c.run == run_id, _steps.c.step == name)
        with self._database.reading() as connection:
            row = connection.execute(chosen).mappings().first()
        return None if row is None else StepRecord(**row)

    def cached(self, keys: Sequence[str]) -> dict[str, Cached]:
        """What is cached under these keys."""
        found: dict[str, Cached] = {}
        for some in _parts(keys):
            with self._database.reading() as connection:
                rows = connection.execute(sql.select(_cache).where(_cache.c.key.in_(some))).mappings()
                found |= {row["key"]: Cached(**row) for row in rows}
        return found

    def close(self) -> None:
        """Gives the connections back."""
        self._database.close()

    def _cache(self, cached: Sequence[Cached]) -> None:
        """The latest stays: what an older one points to may be gone."""
        rows = {one.key: _short(asdict(one)) for one in cached}
        for attempt in range(2):
            try:
                with self._database.writing() as connection:
                    for some in _parts(rows):
                        connection.execute(sql.delete(_cache).where(_cache.c.key.in_(some)))
                    connection.execute(sql.insert(_cache), list(rows.values()))
                return
            except sql.exc.IntegrityError:  # another run has just cached the same
                if attempt:
                    raise

    def _runs(self, *only: Any, limit: int) -> list[RunRecord]:
        chosen = sql.select(_runs).where(*only).order_by(_runs.c.started_us.desc()).limit(limit)
        with self._database.reading() as connection:
            return [RunRecord(**row) for row in connection.execute(chosen).mappings()]


def _short(row: dict[str, Any]) -> dict[str, Any]:
    cut = {name: row[name][:most] for name, most in (("error", _MOST_ERROR), ("about", _MOST_ABOUT)) if name in row}
    return row | cut


def _parts(items: Iterable[T]) -> Iterator[list[T]]:
    left = list(items)
    for at in range(0, len(left), _AT_ONCE):
        yield left[at : at + _AT_ONCE]
