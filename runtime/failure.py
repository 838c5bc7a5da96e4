"""An error on its way from a worker to the caller: the user's own error, with the user's own frames first."""

from __future__ import annotations

import traceback
from dataclasses import dataclass
from pathlib import Path

_OURS = str(Path(__file__).parent)


class WorkerTraceback(Exception):
    """The frames of an error on its worker, the user's own first; shown above the error as its cause."""

    def __init__(self, text: str) -> None:
        self.text = text
        super().__init__(text)

    def __str__(self) -> str:
        return f"on a worker:\n{self.text}"


@dataclass(frozen=True, slots=True)
class Failure:
    """The error of one call and its frames as text (a traceback itself does not travel)."""

    error: Exception
    frames: str

    def as_raised(self) -> Exception:
        """The user's own error, with the worker's frames as its cause."""
        self.error.__cause__ = WorkerTraceback(self.frames)
        return self.error


def failure_of(error: Exception) -> Failure:
    """The error made ready to travel."""
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename.startswith(_OURS):
        trace = trace.tb_next  # the user's own frame comes first
    if isinstance(error, ModuleNotFoundError) and error.name:
        top = error.name.partition(".")[0]
        error.add_note(f"the worker has no {top!r}: name its package in @function(packages=[...])")
    frames = "".join(traceback.format_exception(type(error), error, trace)).rstrip()
    error.__traceback__ = None
    if not _travels(error):
        error = RuntimeError(f"{type(error).__name__}: {error} (an error of this type cannot travel between processes)")
    return Failure(error, frames)


def _travels(error: Exception) -> bool:
    """False for an error that cannot be pickled or, its constructor taking other arguments, not be read back."""
    import cloudpickle

    try:
        return isinstance(cloudpickle.loads(cloudpickle.dumps(error)), Exception)
    except Exception:  # noqa: BLE001 - any reducer may refuse in its own way, and refusing is the answer here
        return False
