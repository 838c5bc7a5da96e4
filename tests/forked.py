"""Python programs in processes of their own, each forked from one that has loaded Ray and MLflow already.

Loading them takes a program seconds, and most tests that need a second process run several. Its environment, arguments,
streams and end are a program's own; how one starts from nothing is tested where a real command is started.
"""

from __future__ import annotations

import atexit
import functools
import gc
import importlib
import json
import os
import runpy
import select
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

# What takes long to load and neither starts a thread of Python's nor reads the environment for good.
LOADED = (
    "ray.job_submission",
    "mlflow",
    "mlflow.store.tracking.sqlalchemy_store",
    "mlflow.store.model_registry.sqlalchemy_store",
)
STREAMS = ("in", "out", "err")


def run(
    *words: str, environment: Mapping[str, str], given: str = "", timeout_s: float = 150.0
) -> subprocess.CompletedProcess[str]:
    """What `python WORDS` does, where the words begin with `-c CODE` or `-m MODULE`."""
    origin = _origin()
    assert origin.stdin is not None
    assert origin.stdout is not None
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder, name) for name in STREAMS]
        files[0].write_text(given)
        asked = {"words": words, "environment": dict(environment), "files": [str(file) for file in files]}
        origin.stdin.write(json.dumps(asked) + "\n")
        origin.stdin.flush()
        if not select.select([origin.stdout], [], [], timeout_s)[0]:
            _end(origin)
            raise subprocess.TimeoutExpired(list(words), timeout_s)
        status = int(origin.stdout.readline())
        return subprocess.CompletedProcess(list(words), status, files[1].read_text(), files[2].read_text())


@functools.cache
def _origin() -> subprocess.Popen[str]:
    started = subprocess.Popen(
        [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True,
        env={name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
        | {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"},
    )  # fmt: skip
    atexit.register(_end, started)
    return started


def _end(origin: subprocess.Popen[str]) -> None:
    """Ends it with what it runs."""
    _origin.cache_clear()
    if origin.poll() is None:
        os.killpg(origin.pid, 9)
    with origin:
        pass


def _serve() -> None:
    """Forks for every line of the standard input, and answers with the exit status."""
    for module in LOADED:
        importlib.import_module(module)
    gc.freeze()  # a program that ends need not visit, and so copy, what it has not made
    sys.path[0] = ""  # a program's own, instead of this file's folder
    for line in sys.stdin:
        asked = json.loads(line)
        pid = os.fork()
        if not pid:
            os._exit(_ended(asked))
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)


def _ended(asked: Mapping[str, Any]) -> int:
    """Runs the program to its end; only the loaded modules are not taken apart, which takes long and is nobody's."""
    status: object = None
    try:
        _become(asked)
    except SystemExit as end:
        status = end.code
    except BaseException:  # noqa: BLE001 - as the interpreter: told, and gone
        status = 1
        traceback.print_exc()
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    return status if isinstance(status, int) else int(status is not None)


def _become(asked: Mapping[str, Any]) -> None:
    os.environ.clear()
    os.environ.update(asked["environment"])
    for number, name in enumerate(asked["files"]):
        descriptor = os.open(name, os.O_RDWR | os.O_CREAT | os.O_APPEND)
        os.dup2(descriptor, number)
        os.close(descriptor)
    sys.stdin = open(0, closefd=False)  # noqa: SIM115 - it ends with the process
    atexit._clear()  # the origin's own
    how, what, *rest = asked["words"]
    sys.argv = [how, *rest]
    if how == "-m":
        runpy.run_module(what, run_name="__main__", alter_sys=True)
    else:
        main = sys.modules["__main__"] = ModuleType("__main__")
        exec(compile(what, "<string>", "exec"), main.__dict__)


if __name__ == "__main__":
    _own = sys.modules["__main__"]  # a program takes its place, and its names shall stay
    _serve()
