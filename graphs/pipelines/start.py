"""Begins a run, or goes on with one: everything around the engine that it needs and leaves behind."""

from __future__ import annotations

import hashlib
import json
import time
import uuid
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any

from ...runtime.errors import DefinitionError, EaglerayError, Fenced
from ...runtime.progress import counter
from ...runtime.session import undisturbed
from ...runtime.settings import Settings
from .call import Crew
from .child_runs import ChildRuns
from .contents import Contents
from .declared import Declared
from .encoding import described
from .engine import Engine
from .leaks import check_inputs
from .node import Built, Constant, Node, Source
from .pipeline_run import PipelineRun
from .records import FAILED, FINISHED, KILLED, RunRecord, StepRecord
from .run_lock import driving, owner
from .sql_pipeline_runs import PipelineBook
from .step_body import StepBody


@dataclass(frozen=True, slots=True)
class RunOptions:
    """How a run goes; `inside` is the id of a tracked run that is open already and stands for the whole."""

    on: str
    at_once: int | None
    track: bool
    settings: Settings
    inside: str = ""


def start(pipeline: Declared, given: dict[str, object], options: RunOptions) -> PipelineRun:
    """See `Pipeline.run`."""
    values = pipeline.checked(given)
    _check(pipeline, options)
    settings = options.settings
    check_inputs(pipeline.nodes, values, settings.home)
    contents = Contents(settings)
    record = RunRecord(
        id=uuid.uuid4().hex,
        pipeline=pipeline.name,
        shape=shape_of(pipeline.nodes),
        parameters={name: contents.put(value).ref for name, value in values.items()},
        shown={name: described(value) for name, value in values.items()},
        owner=owner(),
        workers=options.on,
        started_us=time.time_ns() // 1000,
    )
    with ExitStack() as stack:
        stack.enter_context(driving(settings.home, record.id))
        book = PipelineBook(settings.catalog)
        stack.callback(book.close)
        runs = ChildRuns.opened(settings, record, inside=options.inside) if options.track else None
        record = replace(record, tracked=runs.parent if runs is not None else "")
        book.begin(record)
        _drive(pipeline, values, record, (book, contents, runs), options, known={})
    return PipelineRun(record.id, settings)


def resume(pipeline: Declared, run_id: str, options: RunOptions) -> PipelineRun:
    """See `Pipeline.resume`."""
    settings = options.settings
    with ExitStack() as stack:
        book = PipelineBook(settings.catalog)
        stack.callback(book.close)
        record = book.run(run_id, pipeline=pipeline.name)
        if record.status == FINISHED:
            return PipelineRun(record.id, settings)
        options = replace(options, on=options.on or record.workers)
        _check(pipeline, options)
        if record.shape != shape_of(pipeline.nodes):
            raise DefinitionError(
                f"{pipeline.name}: its steps or their connections are not those of run {record.id[:8]}: begin a new "
                "run (what is cached is not computed again)"
            )
        stack.enter_context(driving(settings.home, record.id))
        contents = Contents(settings)
        values = {name: contents.get(ref) for name, ref in record.parameters.items()}
        check_inputs(pipeline.nodes, values, settings.home)
        runs = ChildRuns.opened(settings, record, inside=options.inside) if options.track else None
        tracked = runs.parent if runs is not None else record.tracked
        record = book.take_over(record, owner=owner(), workers=options.on, tracked=tracked)
        # Read last: from here on nobody else can add to them.
        _drive(pipeline, values, record, (book, contents, runs), options, known=book.steps(record.id))
    return PipelineRun(record.id, settings)


def shape_of(nodes: tuple[Node, ...]) -> str:
    """The hash of names and connections: what must be the same for a run to be gone on with."""
    parts = [
        [one.name, one.kind, one.negated, list(one.after), [[name, _form(source)] for name, source in one.named]]
        for one in nodes
    ]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _form(source: Source) -> Any:
    if isinstance(source, Constant):
        return "constant"
    if isinstance(source, Built):
        return [source.kind, [repr(key) for key in source.keys], [_form(one) for one in source.parts]]
    return [type(source).__name__, *(getattr(source, name) for name in source.__slots__)]


def _check(pipeline: Declared, options: RunOptions) -> None:
    if options.on not in ("here", "ray"):
        raise DefinitionError(f'{pipeline.name}.run: on={options.on!r}; give "here" or "ray"')
    if options.at_once is not None and options.at_once < 1:
        raise DefinitionError(f"{pipeline.name}.run: at_once={options.at_once}; give at least 1")
    if not pipeline.nodes:
        raise DefinitionError(f"{pipeline.name} has no steps: p.step(fn, ...) adds one")


def _drive(
    pipeline: Declared,
    values: Mapping[str, object],
    record: RunRecord,
    parts: tuple[PipelineBook, Contents, ChildRuns | None],
    options: RunOptions,
    *,
    known: Mapping[str, StepRecord],
) -> None:
    book, contents, runs = parts
    engine: Engine | None = None
    try:
        crew = _crew(contents, runs, options, experiment=pipeline.name)
        with counter(pipeline.name, total=len(pipeline.nodes)) as advance:
            engine = Engine(
                pipeline.nodes, values, record, (book, contents, crew), known=known, told=advance,
                with_words=runs is not None,
            )  # fmt: skip
            engine.run()
        if engine.failed is not None:
            raise engine.failed[1]
    except BaseException as error:
        with undisturbed():
            _end(error, engine, record, book, runs)
        _explain(error, engine, record)
        raise
    book.end(record, FINISHED)
    if runs is not None:
        _end_tracked(runs, FINISHED, engine)


def _end(
    error: BaseException, engine: Engine | None, record: RunRecord, book: PipelineBook, runs: ChildRuns | None
) -> None:
    """Writes how it ended, unless another has taken the run over; that the catalog is gone does not hide the error."""
    if isinstance(error, Fenced):
        return
    status = FAILED if isinstance(error, Exception) else KILLED
    where = engine.failed[0] if engine is not None and engine.failed is not None else ""
    first = (str(error).strip().splitlines() or [""])[0]
    text = f"{f'step {where}: ' if where else ''}{type(error).__name__}: {first}"
    try:
        if engine is not None:
            engine.killed()
        book.end(record, status, error=text)
        if runs is not None:
            _end_tracked(runs, status, engine, error=text)
    except EaglerayError as problem:
        error.add_note(f"how it ended could not be written down: {problem}")


def _end_tracked(runs: ChildRuns, status: str, engine: Engine | None, *, error: str = "") -> None:
    runs.end_all(status, counts=engine.counts if engine is not None else {}, error=error[:500])


def _explain(error: BaseException, engine: Engine | None, record: RunRecord) -> None:
    if isinstance(error, Fenced):
        return
    short = record.id[:8]
    cure = f"pipeline.resume({short!r}) or `eagleray pipeline resume FILE:PIPELINE {short}` goes on from there"
    if engine is not None and engine.failed is not None:
        error.add_note(f"in step {engine.failed[0]!r} of pipeline {record.pipeline!r}: {cure}")
    else:
        error.add_note(f"run {record.id[:8]} of pipeline {record.pipeline!r} was ended: {cure}")


def _crew(contents: Contents, runs: ChildRuns | None, options: RunOptions, *, experiment: str) -> Crew:
    settings = options.settings

    def body_of(node: Node) -> StepBody:
        return StepBody(
            node.function.callable, node.name, node.spec.secrets, experiment, settings.home, settings.tracking_uri,
            is_remote=options.on == "ray",
        )  # fmt: skip

    if options.on == "ray":
        from .ray_crew import RayCrew

        return RayCrew(contents, body_of, runs, at_once=options.at_once, settings=settings)
    from .thread_crew import ThreadCrew

    return ThreadCrew(contents, body_of, runs, at_once=options.at_once)
