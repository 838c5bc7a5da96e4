"""A search's finished trials on the disk, so that one whose driver died goes on where it was.

One file a search. Its frames are a length, a checksum (CRC-32) and a payload: first what the search is of, then a frame
a trial, appended as it ends. A frame that a crash tore is dropped with all after it.
"""

from __future__ import annotations

import fcntl
import os
import struct
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from ...runtime.errors import InputError, StorageError
from .learner import Rows
from .search import Trial

_FRAME = struct.Struct("<II")  # the payload's length and checksum
_HEAD = struct.Struct("<I")  # within a payload: the length of its JSON; what follows is the margins


@dataclass(frozen=True, slots=True)
class Told:
    """A finished trial: how many candidates had been asked for by then, at how many seconds of the budget, and its
    validation margins (None where it failed)."""

    trial: Trial
    asked: int
    elapsed_s: float
    margins: Rows | None = None


class Journal:
    """The trials of the search that `about` describes, in the file at `path`, which nobody else may hold meanwhile.

    Raises `InputError` where the file is of another search or one that is running, `StorageError` where the disk
    refuses.
    """

    def __init__(self, path: Path, about: Mapping[str, str]) -> None:
        self.path = path
        self.told: list[Told] = []
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as problem:
            raise StorageError(f"cannot write the search's journal {path}: {problem.strerror}") from problem
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._read(about)
        except BlockingIOError:
            self.close()
            raise InputError(
                f"search {path.stem!r} is running: wait for it, or give options.resume another name"
            ) from None
        except BaseException:
            self.close()
            raise

    @property
    def elapsed_s(self) -> float:
        """The seconds of the budget that were spent when the last trial ended."""
        return self.told[-1].elapsed_s if self.told else 0.0

    def add(self, one: Told) -> None:
        """Appends a finished trial; raises `StorageError`."""
        head: dict[str, Any] = {"trial": asdict(one.trial), "asked": one.asked, "elapsed_s": one.elapsed_s}
        data = b""
        if one.margins is not None:
            margins = np.ascontiguousarray(one.margins, dtype=np.float32)
            head["shape"], data = margins.shape, margins.tobytes()
        self._append(head, data)
        self.told.append(one)

    def remove(self) -> None:
        """The search has ended: nothing is left to go on with."""
        self.path.unlink(missing_ok=True)
        self.close()

    def close(self) -> None:
        """Lets go of the file and leaves it."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def __del__(self) -> None:  # where a driver gives up between here and its search, the name is free again
        if hasattr(self, "_file"):
            self.close()

    def _read(self, about: Mapping[str, str]) -> None:
        whole = 0
        known: Mapping[str, str] | None = None
        for end, head, data in _frames(self._file):
            if known is None:
                known = head
                _check(self.path, known, about)
            else:
                self.told.append(_told(head, data))
            whole = end
        os.ftruncate(self._file, whole)
        os.lseek(self._file, whole, os.SEEK_SET)
        if known is None:
            self._append(dict(about), b"")

    def _append(self, head: Mapping[str, Any], data: bytes) -> None:
        text = orjson.dumps(head, option=orjson.OPT_SERIALIZE_NUMPY)
        payload = _HEAD.pack(len(text)) + text + data
        try:
            # One write: whoever kills this process finds the frame whole, or torn at its end.
            left = memoryview(_FRAME.pack(len(payload), zlib.crc32(payload)) + payload)
            while left:
                left = left[os.write(self._file, left) :]
        except OSError as problem:
            raise StorageError(f"cannot write the search's journal {self.path}: {problem.strerror}") from problem


def _frames(file: int) -> Iterator[tuple[int, dict[str, Any], bytes]]:
    """Where each whole frame ends, its JSON and the bytes behind it."""
    size, place = os.fstat(file).st_size, 0
    while place + _FRAME.size <= size:
        length, checksum = _FRAME.unpack(os.pread(file, _FRAME.size, place))
        place += _FRAME.size
        payload = os.pread(file, length, place) if length <= size - place else b""
        if len(payload) < max(length, _HEAD.size) or zlib.crc32(payload) != checksum:
            return
        place += length
        end = _HEAD.size + _HEAD.unpack_from(payload)[0]
        yield place, orjson.loads(payload[_HEAD.size : end]), payload[end:]


def _told(head: Mapping[str, Any], data: bytes) -> Told:
    written = dict(head["trial"])
    if written["value"] is None:  # JSON has no word for NaN
        written["value"] = float("nan")
    margins = np.frombuffer(data, dtype=np.float32).reshape(head["shape"]) if "shape" in head else None
    return Told(Trial(**written), head["asked"], head["elapsed_s"], margins)


def _check(path: Path, known: Mapping[str, str], about: Mapping[str, str]) -> None:
    changed = [name for name in {**known, **about} if known.get(name) != about.get(name)]
    if not changed:
        return
    shown = ", ".join(
        name if name == "table" else f"{name} (then {known.get(name)}, now {about.get(name)})" for name in changed[:3]
    )
    raise InputError(
        f"search {path.stem!r} was begun with another {shown}: call it as it was called then, give options.resume "
        f"another name, or delete {path}"
    )
