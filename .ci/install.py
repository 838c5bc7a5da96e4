"""Installs eagleray with its development tools: `python .ci/install.py VENV`. Needs the standard library only.

Uses uv where it is on the PATH, else venv and pip. One progress line; the whole log lies in VENV/install.log;
VENV/.installed exists only after a complete install, and a half-made environment is made anew.
"""

from __future__ import annotations

import os
import queue
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
OLDEST = (3, 11)
QUIET_EVERY_S = 10.0  # how often a log file (no terminal) gets a line
TAIL_LINES = 15

# What pip or uv says when it turns to a package; the first group is its name.
_PACKAGE = re.compile(
    r"^\s*(?:Collecting|Downloading|Downloaded|Building|Built|Using cached|Requirement already satisfied:|Obtaining|\+)"
    r"\s+(?:\S*/)?([A-Za-z][A-Za-z0-9._]*?(?:-[A-Za-z][A-Za-z0-9._]*?)*)(?=$|[\s<>=!~\[;,@(]|-\d|\.metadata)"
)
_PHASE = re.compile(r"^\s*(?:Resolved|Prepared|Installing|Successfully|Installed)\b.*")
_CURES = (
    (r"No space left|Disk quota", "free some 5 GB on this disk, then run it again"),
    (r"ensurepip|python3-venv", "install your system's python3-venv package, or uv, then run it again"),
    (
        r"ResolutionImpossible|conflict|unsatisfiable",
        "pyproject.toml and constraints.txt disagree: align their versions",
    ),
    (
        r"No matching distribution|Could not find a version|not found in the",
        "is this Python supported? else reach another index",
    ),
    (
        r"[Cc]onnect|[Tt]imed? ?out|resolve host|name resolution|[Nn]etwork|SSL|dns",
        "check the network, the proxy and the index settings, then run it again",
    ),
    (r"Permission denied", "make this folder writable, or clone to one that is"),
)


class InstallError(Exception):
    """The install cannot go on; the message says the cure."""


def package_of(line: str) -> str | None:
    """The package (or phase) that one line of pip's or uv's output is about."""
    found = _PACKAGE.match(line)
    if found:
        return found[1]
    if line.startswith("Installing collected packages:"):
        return f"unpacking {line.count(',') + 1} packages"
    return line.strip()[:48] if _PHASE.match(line) else None


def cure_of(log: str) -> str:
    """What to do about a failed install, judged by the end of its log."""
    for pattern, cure in _CURES:
        if re.search(pattern, log):
            return cure
    return "read the log, then run it again"


class Progress:
    """One line that says what is being handled and for how long; a line every 10 s where there is no terminal."""

    def __init__(self) -> None:
        self.live = sys.stdout.isatty()
        self.start = self.last = time.monotonic()
        self.doing = "starting"

    def show(self, doing: str | None) -> None:
        self.doing = doing or self.doing
        now = time.monotonic()
        line = f"installing eagleray: {self.doing} ({now - self.start:.0f} s)"
        if self.live:
            width = shutil.get_terminal_size().columns - 1
            sys.stdout.write("\r" + line[:width].ljust(width))
            sys.stdout.flush()
        elif now - self.last >= QUIET_EVERY_S:
            self.last = now
            print(line, flush=True)

    def end(self, line: str) -> None:
        if self.live:
            sys.stdout.write("\r" + " " * (shutil.get_terminal_size().columns - 1) + "\r")
        print(line, flush=True)


def run(command: list[str], log: Path, progress: Progress) -> None:
    """Runs one command, its output to the log and the progress line; raises `InstallError` when it fails."""
    with log.open("a", encoding="utf-8") as out:
        out.write(f"$ {' '.join(command)}\n")
        child = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            encoding="utf-8", errors="replace", env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )  # fmt: skip
        lines: queue.Queue[str | None] = queue.Queue()
        stream = child.stdout
        assert stream is not None

        def read() -> None:
            with stream:
                for line in stream:
                    lines.put(line)
            lines.put(None)

        reader = threading.Thread(target=read, daemon=True)
        reader.start()
        try:
            while True:
                try:
                    line = lines.get(timeout=0.25)
                except queue.Empty:
                    progress.show(None)
                    continue
                if line is None:
                    break
                out.write(line)
                progress.show(package_of(line))
            status = child.wait()
        except BaseException:
            child.terminate()
            try:
                child.wait(timeout=10)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
            raise
    if status:
        text = log.read_text(encoding="utf-8")
        tail = "\n".join(f"  {line}" for line in text.splitlines()[-TAIL_LINES:])
        raise InstallError(f"{tail}\nthe install failed; {cure_of(text[-4000:])} (whole log: {log})")


def commands(venv: Path) -> list[list[str]]:
    """What makes the environment and fills it."""
    wanted = ["-c", "constraints.txt", "-e", ".[dev]"]
    python = venv / "bin" / "python"
    uv = shutil.which("uv")
    if uv:
        make = [uv, "venv", "--allow-existing", "--python", sys.executable, str(venv)]
        # Compiled once, as pip does: where Python may not write, every process would compile all it imports again.
        return [make, [uv, "pip", "install", "--compile-bytecode", "--python", str(python), *wanted]]
    pip = [str(python), "-m", "pip", "install", "--progress-bar", "off", "--disable-pip-version-check"]
    return [[sys.executable, "-m", "venv", str(venv)], [*pip, *wanted]]


def install(venv: Path) -> None:
    """Makes `venv` and installs into it; raises `InstallError`."""
    if sys.version_info < OLDEST:
        here, need = ".".join(map(str, sys.version_info[:3])), ".".join(map(str, OLDEST))
        raise InstallError(f"this is Python {here}; eagleray needs {need} or newer: make PYTHON=python{need} ...")
    done = venv / ".installed"
    if (
        venv.exists()
        and any(venv.iterdir())
        and not (venv / "pyvenv.cfg").exists()
        and not (venv / "install.log").exists()
    ):
        raise InstallError(f"{venv} is there and is no environment of ours; name another folder or move it away")
    if venv.exists() and not done.exists():
        shutil.rmtree(venv)  # half-made: an earlier install was stopped
    done.unlink(missing_ok=True)
    venv.mkdir(parents=True, exist_ok=True)
    log = venv / "install.log"
    log.write_text("", encoding="utf-8")
    progress = Progress()
    print(
        f"installing eagleray into {venv} with {'uv' if shutil.which('uv') else 'pip'} (once; a few minutes)",
        flush=True,
    )
    try:
        for command in commands(venv):
            run(command, log, progress)
    except BaseException:
        progress.end("")
        raise
    done.touch()
    progress.end(f"installed eagleray in {time.monotonic() - progress.start:.0f} s (log: {log})")


def main() -> int:
    """Exit code 0 done, 1 failed, 2 wrong usage, 130 stopped."""
    if len(sys.argv) != 2:
        print("usage: python .ci/install.py VENV", file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        install(Path(sys.argv[1]).expanduser().absolute())
    except InstallError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped; run it again to start the install anew", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
