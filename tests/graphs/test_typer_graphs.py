"""`eagleray test` and `eagleray graph` as a user calls them; `eagleray serve` for a file with a graph."""

from __future__ import annotations

import asyncio
import io
import json
import sys
from pathlib import Path

import httpx
import pytest

from eagleray import cli
from eagleray.functions.dev_server import DevServer

APP = """
from eagleray import Graph, function

def double(body):
    return {"x": body["x"] * 2}

def broken(body):
    return {"x": body["y"]}

@function
def hello(name: str = "you") -> str:
    return f"hello {name}"

twice = Graph("twice").to(double).respond("x")
bad = Graph("bad").to(broken)
"""


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(sys, "path", list(sys.path))
    file = tmp_path / "shell_graphs.py"
    file.write_text(APP)
    return str(file)


def shell(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    monkeypatch.setattr(sys, "argv", ["eagleray", *words])
    try:
        cli.main()
    except SystemExit as done:
        return int(done.code or 0)
    return 0


def test_a_request_is_answered_from_the_shell(app, tmp_path, monkeypatch, capsys):
    body = tmp_path / "body.json"
    body.write_text('[{"x": 1}, {"x": 2}]')
    for words, want in [
        (("twice", '{"x": 4}'), {"id": "test", "x": 8}),
        (("twice", f"@{body}"), [{"id": "test-0", "x": 2}, {"id": "test-1", "x": 4}]),
        (("hello", '{"name": "Ada"}'), "hello Ada"),
        (("hello",), "hello you"),
    ]:
        assert shell(monkeypatch, "test", f"{app}:{words[0]}", *words[1:]) == 0
        assert json.loads(capsys.readouterr().out) == want
    monkeypatch.setattr(sys, "stdin", io.StringIO('{"x": 5}'))
    assert shell(monkeypatch, "test", f"{app}:twice", "-") == 0
    assert json.loads(capsys.readouterr().out)["x"] == 10


def test_where_steps_run_is_printed(app, monkeypatch, capsys):
    assert shell(monkeypatch, "graph", "plan", f"{app}:twice") == 0
    told = capsys.readouterr().out
    assert told.startswith("twice: 1 part\n")
    assert "ingress  double, respond" in told


def test_what_is_wrong_is_told_in_a_line_or_in_the_user_s_own_frames(app, monkeypatch, capsys):
    for words, said in [
        (("twice", '{"x"'), "the body is no JSON"),
        (("twice", "@nowhere.json"), "cannot read nowhere.json"),
        (("twic", "{}"), "no function or graph 'twic'; did you mean 'twice'?"),
        (("hello", '{"nam": 1}'), "did you mean 'name'?"),
    ]:
        assert shell(monkeypatch, "test", f"{app}:{words[0]}", *words[1:]) == 1
        error = capsys.readouterr().err
        assert said in error
        assert error.count("\n") == 1
    assert shell(monkeypatch, "test", f"{app}:bad", '{"x": 4}') == 1
    lines = capsys.readouterr().err.splitlines()
    assert lines[1].strip().startswith(f'File "{app}", line 8, in broken')
    assert lines[-2:] == ["KeyError: 'y'", "in step 'broken' of 'bad', given {x: int}"]


def test_a_graph_is_drawn_from_the_shell(app, tmp_path, monkeypatch, capsys):
    target = tmp_path / "twice.svg"
    assert shell(monkeypatch, "graph", "plot", f"{app}:twice", "-o", str(target)) == 0
    assert capsys.readouterr().out == f"{target}\n"
    assert ">double</text>" in target.read_text()
    assert shell(monkeypatch, "graph", "plot", f"{app}:hello") == 1
    assert "is no graph" in capsys.readouterr().err


def test_a_graph_is_served_while_it_is_written(app):
    said: list[str] = []
    server = DevServer(app, say=said.append)

    def ask() -> object:
        async def run() -> object:
            async with httpx.AsyncClient(transport=httpx.ASGITransport(server), base_url="http://test") as client:
                return (await client.post("/twice", json={"id": "a", "x": 2})).json()

        return asyncio.run(run())

    assert set(server.names) == {"hello", "twice", "bad"}
    assert ask() == {"id": "a", "x": 4}
    Path(app).write_text(APP.replace("* 2", "* 3"))
    assert server.reload()
    assert ask() == {"id": "a", "x": 6}
    server.close()
