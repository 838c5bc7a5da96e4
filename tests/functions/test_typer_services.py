"""`eagleray deploy`, `list`, `stop` and the verbs of versions, as a user calls them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from eagleray import cli
from eagleray.functions.rollouts.client import Client
from eagleray.runtime import lasting, psutil_processes
from eagleray.runtime.settings import Settings

from .. import forked

APP = """
from eagleray import Graph, function

@function(cpus=0.1)
def answer(x: int = 0) -> int:
    print("asked", x)
    return x + NUMBER

def judged(event):
    return {"large": event.body["amount"] > 100}

graph = Graph("judge")
graph.to(judged).respond("large")
limit = 3
"""
# Several commands in one process, for joining a Ray takes a second or two each time.
COMMANDS = """
import sys
from eagleray import cli
for line in sys.stdin:
    sys.argv = ["eagleray", *line.split()]
    try:
        cli.app(standalone_mode=False)
    except Exception as error:
        print(f"{type(error).__name__}: {error}")
"""


@pytest.fixture
def app(tmp_path: Path) -> Path:
    file = tmp_path / "shell_services.py"
    file.write_text(APP.replace("NUMBER", "1"))
    return file


def environment(home: Path) -> dict[str, str]:
    mine = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    return mine | {"EAGLERAY_HOME": str(home)}


def test_deploy_stays_in_the_foreground_where_no_ray_does_and_others_find_it(tmp_path: Path, app: Path) -> None:
    home = tmp_path / "home"
    command = [sys.executable, "-m", "eagleray.cli", "deploy", f"{app}:answer", "--name", "fore"]
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(home),
        start_new_session=True,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        shown = dict(process.stdout.readline().strip().partition(": ")[::2] for _ in range(7))
        told = [process.stderr.readline() for _ in range(2)]
        assert told == [
            "no Ray stays here (`eagleray up`), so one is started that ends with this command\n",
            "Ctrl-C ends it\n",
        ]
        assert (shown["name"], shown["version"], shown["state"], shown["replicas"]) == ("fore", "1", "RUNNING", "1/1")
        assert Client.of(shown["url"]).post("", {"x": 41}) == 42
        assert process.stderr.readline() == "asked 41\n"
        found = lasting.find(home)
        assert found is not None
        assert found.pid == process.pid
        family = psutil_processes.tree(process.pid)

        commands = [
            "list --json",
            "logs fore --json",
            "stop nobody",
            "stop --all --json",
            "list --json",
            "history fore",
        ]
        done = forked.run("-c", COMMANDS, environment=environment(home), given="\n".join(commands))
        assert done.returncode == 0, done.stderr
        (listed,), end = json.JSONDecoder().raw_decode(done.stdout)
        assert {
            "name": "fore",
            "url": shown["url"],
            "version": 1,
            "replicas": 1,
            "canary": None,
        }.items() <= listed.items()
        rest = done.stdout[end:]
        assert '{"line": "asked 41"}' in rest
        assert "NotFoundError: no service 'nobody' runs; known: fore" in rest
        assert '{\n  "stopped": [\n    "fore"\n  ]\n}\n[]\n' in rest
        assert rest.splitlines()[-1].split()[0] == "1", "its versions are remembered"
        assert process.poll() is None, "it goes on: others may have deployed to it"
    finally:
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (0, ""), err
    assert lasting.find(home) is None
    assert [pid for pid, _ in family if psutil_processes.alive(pid)] == []


def shell(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    monkeypatch.setattr(sys, "argv", ["eagleray", *words])
    try:
        cli.main()
    except SystemExit as done:
        return int(done.code or 0)
    return 0


@pytest.fixture
def own(serving: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The shared Serve, with modules and path as they were before."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield
    sys.modules.pop("shell_services", None)


@pytest.mark.usefixtures("own")
def test_a_graph_is_deployed_like_a_function(
    app: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert shell(monkeypatch, "deploy", f"{app}:graph", "--json") == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["name"], shown["version"], shown["shadow"]) == ("judge", 1, None)
    assert Client.of(shown["url"]).post("", {"amount": 200.0})["large"] is True
    assert shell(monkeypatch, "stop", "judge") == 0
    assert capsys.readouterr().out == "stopped judge\n"


@pytest.mark.usefixtures("own")
def test_versions_take_over_from_each_other(
    app: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def shown(*words: str) -> Any:
        assert shell(monkeypatch, *words, "--json") == 0
        return json.loads(capsys.readouterr().out)

    url = shown("deploy", f"{app}:answer", "--name", "shelled")["url"]
    assert Client.of(url).post("", {"x": 1}) == 2
    app.write_text(APP.replace("NUMBER", "20"))
    tried = shown("deploy", f"{app}:answer", "--name", "shelled", "--canary", "100")
    assert (tried["url"], tried["version"], tried["canary"], tried["canary_percent"]) == (url, 1, 2, 100.0)
    assert Client.of(url).post("", {"x": 1}) == 21
    assert shell(monkeypatch, "list") == 0
    (row,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("shelled")]
    assert row.split() == ["shelled", url, "1", "RUNNING", "1/1", "2", "(100", "%)"]
    assert [one["role"] for one in shown("canary", "shelled", "50")] == ["canary", "stable"]
    assert shown("promote", "shelled")["number"] == 2
    assert [one["version"] for one in shown("list") if one["name"] == "shelled"] == [2]
    assert shown("rollback", "shelled")["number"] == 1
    assert [one["role"] for one in shown("history", "shelled")] == ["", "stable"]
    assert shown("stop", "shelled") == {"stopped": ["shelled"]}


@pytest.mark.usefixtures("own")
def test_what_cannot_be_deployed_is_told_with_its_cure(
    app: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for words, cure in [
        ([f"{app}:graph", "--name", "other"], "a Graph has its name from where it is made"),
        ([f"{app}:graf"], "has no function or graph 'graf'; did you mean 'graph'?"),
        ([f"{app}:limit"], "is a int: name a function or a class"),
        ([f"{app}:answer", "--canary", "5"], "answer is not deployed: deploy a version without canary or shadow first"),
        ([f"{app}:answer", "--canary", "5", "--shadow"], "canary and shadow at once"),
    ]:
        assert shell(monkeypatch, "deploy", *words) == 1
        assert cure in capsys.readouterr().err
    assert shell(monkeypatch, "stop", "judge", "--all") == 2


def test_without_a_ray_the_cure_is_named(tmp_path: Path) -> None:
    commands = ["list", "list --json", "stop x", "stop --all", "canary x 5", "promote x", "rollback x", "logs x"]
    done = forked.run("-c", COMMANDS, environment=environment(tmp_path / "home"), given="\n".join(commands))
    assert done.returncode == 0, done.stderr
    told = done.stdout.splitlines()
    cure = "no Ray that stays runs here, so no service does: `eagleray up`, or set RAY_ADDRESS"
    assert told[:3] == [cure, "[]", f"NotFoundError: {cure}"]
    assert told[3] == "no service runs: fn.deploy() or `eagleray deploy FILE:FN` starts one"
    assert len(told) == 8
    assert all("x is not deployed: no Ray that stays runs here; run `eagleray up`, or" in line for line in told[4:])
    assert not (tmp_path / "home").exists()
