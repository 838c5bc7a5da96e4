"""A pipeline's run in MLflow: one for the whole, and a child for each step that runs."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from functools import cache

from ...functions.runs.current_run import current_run
from ...functions.runs.git_state import git_state
from ...functions.runs.run import Run
from ...functions.runs.tracked import code_tags, written_as_failed
from ...functions.runs.tracking import run_store
from ...runtime.errors import NotFoundError
from ...runtime.settings import Settings
from .call import Call
from .records import FINISHED, KILLED, RunRecord


class ChildRuns:
    """The runs of one pipeline's run; `parent` is the id of the whole's, which others end where it is not `own`."""

    def __init__(self, settings: Settings, record: RunRecord, parent: str, *, own: bool) -> None:
        self._store = run_store(settings)
        self._experiment, self._workers = record.pipeline, record.workers
        self._tags: dict[str, dict[str, str]] = {}  # by node: a map's items have the same
        self._git = cache(git_state)  # of a file, as it is when the run begins: asking git takes a while
        self._own = own
        self._open: set[str] = set()
        self.parent = parent

    @classmethod
    def opened(cls, settings: Settings, record: RunRecord, *, inside: str) -> ChildRuns:
        """Opens the whole's run, again where the record names one; `inside` is one that is open and serves as it."""
        store = run_store(settings)
        if record.tracked and not inside:
            with suppress(NotFoundError):
                store.reopen(record.tracked)
                return cls(settings, record, record.tracked, own=True)
        around = current_run()
        opening = Run(
            record.pipeline, record.pipeline, params=dict(record.shown), parent=around.id if around is not None else "",
            tags={"pipeline": record.pipeline, "pipeline.run": record.id, "on": record.workers},
        )  # fmt: skip
        run_id = inside or store.open(opening)
        store.write(run_id, opening if not inside else Run(record.pipeline, tags=opening.tags))
        return cls(settings, record, run_id, own=not inside)

    def begin(self, call: Call) -> str:
        """Opens a step's run and gives its id."""
        name = call.node.name
        if name not in self._tags:
            self._tags[name] = {**code_tags(call.node.function.callable, state_of=self._git), "on": self._workers}
        opening = Run(self._experiment, call.name, params=dict(call.shown), tags=self._tags[name], parent=self.parent)
        run_id = self._store.open(opening)
        self._open.add(run_id)
        self._store.write(run_id, opening)
        return run_id

    def end(self, run_id: str, error: BaseException | None, *, about: str = "") -> None:
        """Ends a step's run."""
        self._open.discard(run_id)
        if error is not None:
            written_as_failed(self._store, run_id, self._experiment, error)
            return
        self._store.write(run_id, Run(self._experiment, tags={"output": about}))
        self._store.end(run_id, FINISHED)

    def end_all(self, status: str, *, counts: Mapping[str, int], error: str = "") -> None:
        """Ends the whole's run, with how many steps ended how; the run of a step that was ended is KILLED."""
        while self._open:
            self._store.end(self._open.pop(), KILLED)
        metrics = {f"steps.{name.lower()}": float(count) for name, count in counts.items()}
        # A run that was gone on with may have an error of its first part.
        self._store.write(self.parent, Run(self._experiment, metrics=metrics, tags={"error": error}))
        if self._own:
            self._store.end(self.parent, status)
