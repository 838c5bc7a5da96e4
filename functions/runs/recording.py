"""What happens around a tracked call where it runs: log and metrics while it goes, result or error at its end."""

from __future__ import annotations

import functools
import json
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from ...runtime.call_options import CallOptions
from ...runtime.errors import EaglerayError
from ...runtime.secret import masked
from ...runtime.task_body import Body
from ..calls.frames import plain
from .current_run import CurrentRun, entered
from .run import Run
from .table_content import parquet, table_of

R = TypeVar("R")
LOG, ERROR = "log.txt", "error.txt"
_OURS = tuple(str(Path(__file__).parents[2] / floor) for floor in ("runtime", "functions", "graphs"))
_MOST_JSON = 1 << 20  # characters; what is longer is no small result


def recorded(
    fn: Callable[..., Any], attach: Callable[[], CurrentRun], *, keeps_result: bool = True
) -> Callable[..., Any]:
    """The function with a recorder around it, for any process that can `attach` to the open run.

    A coroutine is awaited; of a generator the values are read into a list. Without `keeps_result` the result is no file
    of the run.
    """

    @functools.wraps(fn, updated=())
    def call(*args: Any, **kwargs: Any) -> Any:
        run = attach()
        body = Body(fn, CallOptions(getattr(fn, "__name__", "function")))
        with entered(run):
            try:
                value: Any = list(body.stream(args, kwargs)) if body.is_stream else body.call(args, kwargs)
            except BaseException as error:
                _write_last(run, {ERROR: masked(user_frames(error)).encode()}, error)
                raise
            _write(run, result_files(value) if keeps_result else {})
        return value

    return call


def result_files(value: Any) -> dict[str, bytes]:
    """The result as files of the run: a table as Parquet, what JSON can hold as JSON, of anything else its type."""
    if value is None:
        return {}
    table = table_of("result", value)
    if table is not None:
        about = {
            "output": {"kind": table.kind, "rows": table.rows, "columns": table.columns, "hash": table.content_hash}
        }
        return {"result.parquet": parquet(value), "lineage.json": json.dumps(about, indent=2).encode()}
    try:
        text = json.dumps(plain(value), default=plain)
    except (TypeError, ValueError):
        return {"result.txt": f"{type(value).__module__}.{type(value).__qualname__}\n".encode()}
    if len(text) > _MOST_JSON:
        return {"result.txt": f"{type(value).__qualname__}, {len(text)} characters as JSON\n".encode()}
    return {"result.json": masked(text).encode()}


def user_frames(error: BaseException) -> str:
    """The error as text, the first frame being the user's own."""
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename.startswith(_OURS):
        trace = trace.tb_next
    return "".join(traceback.format_exception(type(error), error, trace))


def _write(run: CurrentRun, files: dict[str, bytes]) -> None:
    log = masked(run.log.text())
    run.flush()
    run.store.write(run.id, Run(run.experiment, artifacts=files | ({LOG: log.encode()} if log else {})))


def _write_last(run: CurrentRun, files: dict[str, bytes], error: BaseException) -> None:
    """The user's error is the answer, whatever becomes of the record."""
    try:
        _write(run, files)
    except EaglerayError as problem:
        error.add_note(f"the run {run.id} has no record of it: {problem}")
