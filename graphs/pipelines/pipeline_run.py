"""A run of a pipeline by its id: how it ended, what its steps gave, and how to go on with it."""

from __future__ import annotations

import html
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

from ...runtime.errors import InputError, NotFoundError, did_you_mean
from ...runtime.settings import Settings
from .contents import Contents
from .node import Edge, Node
from .parameter import Parameter
from .records import ENDED, RUNNING, SKIPPED, RunRecord, StepRecord
from .run_lock import is_driven
from .sql_pipeline_runs import PipelineBook

if TYPE_CHECKING:
    from ..pictures.svg import Picture

Where = Literal["here", "ray"]
LOST = "LOST"  # its process died: nobody has written how it ended


class Resumable(Protocol):
    """A pipeline, which knows the steps that a run is made of."""

    @property
    def name(self) -> str: ...

    @property
    def parameters(self) -> tuple[Parameter, ...]: ...

    @property
    def nodes(self) -> tuple[Node, ...]: ...

    @property
    def edges(self) -> tuple[Edge, ...]: ...

    def resume(
        self, run_id: str = "last", *, on: Where | None, at_once: int | None, track: bool, settings: Settings | None
    ) -> PipelineRun: ...


class PipelineRun:
    """A run by its id, which is all that another process needs: `PipelineRun(id)`.

    `run["train"].value` is what a step gave, `run.steps` are those that have begun. `resume` needs the pipeline: of a
    run that `p.run` or `p.runs` gave it knows it.
    """

    # No dataclass: who prints a function's result would print the fields, and there are passwords in the settings.
    __slots__ = ("id", "pipeline", "settings")

    def __init__(self, id: str, settings: Settings | None = None, pipeline: Resumable | None = None) -> None:  # noqa: A002
        self.id = id
        self.settings = settings or Settings.from_env()
        self.pipeline = pipeline

    def __repr__(self) -> str:
        return f"PipelineRun({self.id!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PipelineRun) and self.id == other.id

    def __hash__(self) -> int:
        return hash(self.id)

    def of(self, pipeline: Resumable) -> PipelineRun:
        """The same, its pipeline known."""
        return PipelineRun(self.id, self.settings, pipeline)

    @property
    def record(self) -> RunRecord:
        """What is kept of it: parameters, times, the MLflow run (`tracked`), the error."""
        with _open(self.settings) as book:
            return book.run(self.id)

    @property
    def status(self) -> str:
        """RUNNING, FINISHED, FAILED, KILLED, or LOST where its process died."""
        return status_of(self.record, self.settings)

    @property
    def duration_s(self) -> float | None:
        """Seconds from start to end, None while it runs."""
        return self.record.duration_s

    @property
    def steps(self) -> Mapping[str, StepRun]:
        """The steps that have begun, by name, in their order; of a map its items too."""
        with _open(self.settings) as book:
            return {name: StepRun(one, self.settings) for name, one in book.steps(self.id).items()}

    def __getitem__(self, step: str) -> StepRun:
        """One step; raises `NotFoundError` for one that has not begun."""
        with _open(self.settings) as book:
            found = book.step(self.id, step)
            if found is None:
                known = did_you_mean(step, book.steps(self.id))
                raise NotFoundError(f"run {self.id[:8]}: no step {step!r} has begun{known}")
        return StepRun(found, self.settings)

    def resume(self, *, on: Where | None = None, at_once: int | None = None, track: bool = True) -> PipelineRun:
        """Goes on from the last finished steps; see `Pipeline.resume`."""
        if self.pipeline is None:
            raise InputError(
                f"run {self.id[:8]}: its steps are not known here: pipeline.resume({self.id[:8]!r}) does it"
            )
        return self.pipeline.resume(self.id, on=on, at_once=at_once, track=track, settings=self.settings)

    def plot(self) -> Picture:
        """The pipeline's picture with how each step ended; raises `InputError` where only the run is known."""
        from ..pictures.svg import drawn
        from .pipeline_diagram import pipeline_diagram

        p = self.pipeline
        if p is None:
            raise InputError(f"run {self.id[:8]}: its steps are not known here: plot a run that pipeline.runs() gives")
        return drawn(pipeline_diagram(p.name, p.parameters, p.nodes, p.edges, ended=self.steps))

    def __reduce__(self) -> tuple[Callable[..., PipelineRun], tuple[str]]:
        """It travels by its id: the settings are those of where it arrives."""
        return (PipelineRun, (self.id,))

    def _repr_html_(self) -> str:
        """A table for notebooks: a line a step."""
        record = self.record
        head = f"{record.pipeline} · {self.id[:8]} · {status_of(record, self.settings)}"
        rows = [
            (name, one.status, "" if one.duration_s is None else f"{one.duration_s:.2f} s", one.about)
            for name, one in self.steps.items()
        ]
        cells = "".join("<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
        return f"<table><caption><b>{html.escape(head)}</b></caption>{cells}</table>"


@dataclass(frozen=True, slots=True)
class StepRun:
    """One step of a run."""

    record: StepRecord
    settings: Settings = field(repr=False)

    @property
    def status(self) -> str:
        """RUNNING, FINISHED, CACHED, SKIPPED, FAILED or KILLED."""
        return self.record.status

    @property
    def value(self) -> Any:
        """What it gave, read from where outputs are kept; raises `InputError` for a step that gave nothing."""
        if self.status == SKIPPED:
            raise InputError(f"step {self.record.step} was skipped ({self.record.error}): it gave nothing")
        if self.status not in ENDED:
            raise InputError(f"step {self.record.step} is {self.status}: it gave nothing yet")
        return Contents(self.settings).get(self.record.output)

    @property
    def about(self) -> str:
        """What it gave in a few words, or why it gave nothing."""
        return self.record.about or self.record.error

    @property
    def duration_s(self) -> float | None:
        """Seconds from start to end, None where it has not ended."""
        return self.record.duration_s

    @property
    def tracked(self) -> str:
        """The id of its run in MLflow ("" where it has none): `eagleray runs show ID`."""
        return self.record.tracked


def records(settings: Settings, *, pipeline: str | None = None, limit: int = 20) -> list[tuple[RunRecord, str]]:
    """The latest runs with their status, of one pipeline or of all; none where there is no catalog."""
    if not _has_catalog(settings):
        return []
    with _open(settings) as book:
        return [(one, status_of(one, settings)) for one in book.runs(pipeline=pipeline, limit=limit)]


def find(run_id: str, settings: Settings) -> PipelineRun:
    """A run of any pipeline by its id, the first characters of it, or "last"; raises `NotFoundError`."""
    if not _has_catalog(settings):
        raise NotFoundError("no pipeline has run yet: `eagleray pipeline run FILE:PIPELINE` runs one")
    with _open(settings) as book:
        return PipelineRun(book.run(run_id).id, settings)


def status_of(record: RunRecord, settings: Settings) -> str:
    """The status, LOST where it says RUNNING and nobody drives it any more."""
    lost = record.status == RUNNING and not is_driven(settings.home, record.id, record.owner)
    return LOST if lost else record.status


def _has_catalog(settings: Settings) -> bool:
    """To look makes none."""
    return settings.catalog_url is not None or (settings.home / "catalog.db").exists()


@contextmanager
def _open(settings: Settings) -> Iterator[PipelineBook]:
    book = PipelineBook(settings.catalog)
    try:
        yield book
    finally:
        book.close()
