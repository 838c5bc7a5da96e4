"""An error on its way from a worker to the caller: the user's own error, with the user's own frames first."""

from __future__ import annotations

import os
import socket
import sysconfig
import traceback
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_OURS = tuple(str(Path(__file__).parents[1] / place) for place in ("runtime", "functions", "graphs/pipelines"))


class WorkerTraceback(Exception):
    """The frames of an error on its worker, the user's own first; shown above the error as its cause.

    `place` is the line of the user's code, as `place_of` has it.
    """

    def __init__(self, text: str, where: str, place: str = "") -> None:
        self.text, self.where, self.place = text, where, place
        super().__init__(text, where, place)

    def __str__(self) -> str:
        return f"on a worker ({self.where}):\n{self.text}"


@dataclass(frozen=True, slots=True)
class Failure:
    """The error of one call, its frames as text (a traceback itself does not travel) and where it was raised: `where`
    is the process, `place` the line of the user's code."""

    error: Exception
    frames: str
    where: str
    place: str = ""

    def as_raised(self) -> Exception:
        """The user's own error, with the worker's frames as its cause."""
        self.error.__cause__ = WorkerTraceback(self.frames, self.where, self.place)
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
    place = place_of(error)
    frames = "".join(traceback.format_exception(error)).rstrip()
    error.__traceback__ = None
    if not _travels(error):
        error = RuntimeError(f"{type(error).__name__}: {error} (an error of this type cannot travel between processes)")
    return Failure(error, frames, f"pid {os.getpid()} on {socket.gethostname()}", place)


def place_of(error: Exception) -> str:
    """`function, line N` of the innermost frame of the user's own code; a path would tell about the machine."""
    if isinstance(error.__cause__, WorkerTraceback) and error.__cause__.place:
        return error.__cause__.place
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if not frame.filename.startswith(_others())]
    found = (own or frames)[-1:]
    return f"{found[0].name}, line {found[0].lineno}" if found else ""


@cache
def _others() -> tuple[str, ...]:
    """Folders of code that is not the user's: ours, Python's, and what is installed."""
    floors = ("autoscaling", "featurestore", "functions", "graphs", "runtime")
    ours = [f"{Path(__file__).parents[1] / floor}{os.sep}" for floor in floors]
    return (*ours, *(sysconfig.get_path(name) for name in ("stdlib", "purelib", "platlib")), "<frozen")


def _travels(error: Exception) -> bool:
    """False for an error that cannot be pickled or, its constructor taking other arguments, not be read back."""
    import cloudpickle

    try:
        return isinstance(cloudpickle.loads(cloudpickle.dumps(error)), Exception)
    except Exception:  # noqa: BLE001 - any reducer may refuse in its own way, and refusing is the answer here
        return False
