"""An error on its way from a worker to the caller: the user's own error, with the user's own frames first."""

from __future__ import annotations

import os
import socket
import traceback
from dataclasses import dataclass
from pathlib import Path

_OURS = tuple(str(Path(__file__).parents[1] / place) for place in ("runtime", "functions", "graphs/pipelines"))


class WorkerTraceback(Exception):
    """The frames of an error on its worker, the user's own first; shown above the error as its cause."""

    def __init__(self, text: str, where: str) -> None:
        self.text, self.where = text, where
        super().__init__(text, where)

    def __str__(self) -> str:
        return f"on a worker ({self.where}):\n{self.text}"


@dataclass(frozen=True, slots=True)
class Failure:
    """The error of one call, its frames as text (a traceback itself does not travel) and where it was raised."""

    error: Exception
    frames: str
    where: str

    def as_raised(self) -> Exception:
        """The user's own error, with the worker's frames as its cause."""
        self.error.__cause__ = WorkerTraceback(self.frames, self.where)
        return self.error


def told(error: Exception) -> None:
    """Leaves the user's own frames alone on the error, and adds the cure where a package is missing."""
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename.startswith(_OURS):
        trace = trace.tb_next
    if isinstance(error, ModuleNotFoundError) and error.name:
        top = error.name.partition(".")[0]
        error.add_note(f"the worker has no {top!r}: name its package in @function(packages=[...])")
    error.__traceback__ = trace or error.__traceback__  # an error of our own code has no other frames


def failure_of(error: Exception) -> Failure:
    """The error made ready to travel."""
    told(error)
    frames = "".join(traceback.format_exception(error)).rstrip()
    error.__traceback__ = None
    if not _travels(error):
        error = RuntimeError(f"{type(error).__name__}: {error} (an error of this type cannot travel between processes)")
    return Failure(error, frames, f"pid {os.getpid()} on {socket.gethostname()}")


def _travels(error: Exception) -> bool:
    """False for an error that cannot be pickled or, its constructor taking other arguments, not be read back."""
    import cloudpickle

    try:
        return isinstance(cloudpickle.loads(cloudpickle.dumps(error)), Exception)
    except Exception:  # noqa: BLE001 - any reducer may refuse in its own way, and refusing is the answer here
        return False
