"""The packages a function asks for, on the worker: beside what is installed there, in a folder of their own.

Only what the environment lacks, or has in another version, is installed: the folder goes before the rest on the path of
a worker that runs nothing else. It is made once a node, by uv, and kept under the home.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from .errors import DefinitionError, StorageError
from .settings import Settings

_ADDED = re.compile(r"^ \+ (\S+==\S+)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Packaged:
    """Something pickled that needs packages to be read back."""

    packages: tuple[str, ...]
    pickled: bytes

    def open(self) -> Any:
        """What was pickled, its packages importable from now on; raises `DefinitionError` when they cannot be had."""
        return _opened(self)


@cache
def _opened(packed: Packaged) -> Any:
    import cloudpickle

    if packed.packages:
        use(packed.packages, Settings.from_env().home)
    return cloudpickle.loads(packed.pickled)


def use(packages: Sequence[str], home: Path) -> None:
    """Makes the packages importable in this process."""
    folder = str(installed(packages, home))
    if folder not in sys.path:
        sys.path.insert(0, folder)


def installed(packages: Sequence[str], home: Path) -> Path:
    """The folder with what the environment lacks of `packages`; made when it is not there yet.

    Raises `DefinitionError` with uv's own reason.
    """
    wanted = sorted(packages)
    about = "\n".join([*wanted, sys.version, sysconfig.get_platform(), sys.prefix])
    folder = home / "packages" / hashlib.sha256(about.encode()).hexdigest()[:20]
    if folder.is_dir():
        return folder
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with _alone(folder.with_suffix(".lock")):
            if not folder.is_dir():  # another worker may have made it meanwhile
                _install(wanted, folder)
    except OSError as error:
        raise StorageError(
            f"cannot install into {folder} ({error.strerror}): free the disk or set EAGLERAY_HOME"
        ) from None
    return folder


def _install(packages: Sequence[str], folder: Path) -> None:
    missing = _ADDED.findall(_uv("install", "--dry-run", *packages))
    made = tempfile.mkdtemp(dir=folder.parent)
    try:
        if missing:
            _uv("install", "--no-deps", "--target", made, *missing)
        os.replace(made, folder)
    finally:
        shutil.rmtree(made, ignore_errors=True)


def _uv(verb: str, *arguments: str) -> str:
    """What `uv pip VERB` says."""
    command = [_program(), "pip", verb, "--python", sys.executable, "--color", "never", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        causes = [line.partition(":")[2].strip() for line in lines if line.startswith(("cause:", "error:"))]
        reason = (causes or lines or ["no reason given"])[-1]
        raise DefinitionError(f"packages cannot be installed: {reason}: correct @function(packages=[...])")
    return done.stderr + done.stdout


def _program() -> str:
    from uv import find_uv_bin

    return str(find_uv_bin())


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """One process of this machine at a time."""
    with open(path, "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
