"""What runs where a step runs, around the user's function: its tracked run, its secrets, whatever kind it is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...functions.runs.current_run import CurrentRun
from ...functions.runs.recording import recorded
from ...functions.runs.tracking import run_store
from ...runtime.call_options import CallOptions
from ...runtime.secret import Secret
from ...runtime.settings import Settings
from ...runtime.task_body import Body
from .leaks import guarded


@dataclass(frozen=True, slots=True)
class StepBody:
    """Calls a step's function: a coroutine is awaited, of a generator the values are read into a list.

    What it prints and its metrics go to the MLflow run that is named in the call ("" for none). It travels to workers,
    with the settings that they need and no password.
    """

    fn: Callable[..., Any]
    name: str
    secrets: tuple[Secret, ...]
    experiment: str
    home: Path
    tracking_uri: str | None
    is_remote: bool = False

    def __call__(self, run_id: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        called = recorded(self.fn, lambda: self._attached(run_id), keeps_result=False) if run_id else self._completed
        return guarded(called, self.secrets, self.home)(*args, **kwargs)

    def _completed(self, *args: Any, **kwargs: Any) -> Any:
        body = Body(self.fn, CallOptions(self.name))
        return list(body.stream(args, kwargs)) if body.is_stream else body.call(args, kwargs)

    def _attached(self, run_id: str) -> CurrentRun:
        runs = run_store(Settings(home=self.home, tracking_uri=self.tracking_uri))
        if self.is_remote:
            runs.check_visible(run_id)
        return CurrentRun(run_id, self.experiment, runs)
