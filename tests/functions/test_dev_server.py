"""`eagleray serve`: a file's functions in this process, loaded anew on every save."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from eagleray.functions.dev_server import DevServer
from eagleray.runtime.errors import InputError, NotFoundError

APP = """
from eagleray import function
from {helper} import OFFSET

@function
def plus(x: int) -> int:
    return x + OFFSET + {extra}

@function(name="minus")
def less(x: int) -> int:
    return x - 1
"""


@pytest.fixture
def app(tmp_path: Path) -> Iterator[Path]:
    """A file with two functions, and a module beside it."""
    helper = f"offset_of_{tmp_path.name}"
    (tmp_path / f"{helper}.py").write_text("OFFSET = 10\n")
    file = tmp_path / f"app_{tmp_path.name}.py"
    file.write_text(APP.format(helper=helper, extra=0))
    before = list(sys.path)
    yield file
    sys.path[:] = before
    for name in [name for name in sys.modules if name.endswith(tmp_path.name)]:
        del sys.modules[name]


def ask(server: DevServer, method: str, path: str, **given: Any) -> httpx.Response:
    async def run() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(server), base_url="http://test") as client:
            return await client.request(method, path, **given)

    return asyncio.run(run())


def test_it_serves_what_was_saved_last(app: Path) -> None:
    said: list[str] = []
    server = DevServer(str(app), say=said.append)
    assert server.names == ("plus", "minus")
    assert ask(server, "POST", "/plus", json={"x": 1}).json() == 11
    assert ask(server, "POST", "/minus", json={"x": 1}).json() == 0
    assert 'href="/plus/docs"' in ask(server, "GET", "/").text
    assert "there are /plus, /minus" in ask(server, "GET", "/nothing").json()["detail"]

    source = app.read_text()
    app.write_text(source.replace("+ 0", "+ 5"))
    assert server.reload()
    assert ask(server, "POST", "/plus", json={"x": 1}).json() == 16
    helper = next(app.parent.glob("offset_of_*.py"))
    helper.write_text("OFFSET = 20  # a module beside it counts too\n")
    assert server.reload()
    assert ask(server, "POST", "/plus", json={"x": 1}).json() == 26

    app.write_text(source + "def broken(:\n")
    assert not server.reload()
    assert said[-1].startswith(f"not loaded, the earlier version goes on: {app.name}:12: SyntaxError: ")
    app.write_text(source + "1 / 0\n")
    assert not server.reload()
    assert said[-1].endswith(f"{app.name}:12: ZeroDivisionError: division by zero")
    assert ask(server, "POST", "/plus", json={"x": 1}).json() == 26
    server.close()


def test_one_function_or_none(app: Path) -> None:
    server = DevServer(f"{app}:less", say=print)
    assert server.names == ("minus",)
    server.close()
    with pytest.raises(NotFoundError, match="did you mean 'plus'"):
        DevServer(f"{app}:plu", say=print)
    app.write_text("x = 1\n")
    with pytest.raises(InputError, match="no function decorated with @function"):
        DevServer(str(app), say=print)


def test_a_save_is_served_within_a_second_and_ctrl_c_ends_it(app: Path) -> None:
    command = [sys.executable, "-m", "eagleray.cli", "serve", str(app), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        url = process.stdout.readline().split()[2].rstrip(",")

        def answer() -> int:
            body = json.dumps({"x": 1}).encode()
            with urllib.request.urlopen(urllib.request.Request(url, data=body), timeout=20) as response:
                return int(response.read())

        assert answer() == 11
        app.write_text(app.read_text().replace("+ 0", "+ 7"))
        saved = time.monotonic()
        assert "loaded: plus, minus" in process.stderr.readline()
        assert time.monotonic() - saved < 10  # a second where the machine is not shared; measured 0.4 s
        assert answer() == 18
        os.kill(process.pid, signal.SIGINT)
        assert process.wait(20) == 0
    with pytest.raises(urllib.error.URLError):
        answer()


def test_a_port_that_is_taken_is_told(app: Path) -> None:
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = str(taken.getsockname()[1])
        command = [sys.executable, "-m", "eagleray.cli", "serve", str(app), "--port", port]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert f"port {port} cannot be opened (Address already in use): give --port, 0 for any" in done.stderr
