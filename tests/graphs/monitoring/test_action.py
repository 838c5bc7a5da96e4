"""Actions, the webhook against a real server."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from eagleray.graphs.monitoring.action import Action, Notice, perform
from eagleray.graphs.monitoring.alert import Firing
from eagleray.runtime.errors import DefinitionError

NOTICE = Notice("fraud", 1_700_000_000_000_000, (Firing("drift", "amount", "ks", 0.4, 0.2, "amount has drifted"),))


class Receiver(HTTPServer):
    """Keeps what is posted; answers with `status`."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.posts: list[tuple[str, dict[str, str], Any]] = []
        self.status = 204

    def url(self, path: str = "/hook?secret=s3cr3t") -> str:
        return f"http://127.0.0.1:{self.server_port}{path}"


class Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.posts.append((self.path, dict(self.headers), json.loads(body)))
        self.send_response(self.server.status)
        if 300 <= self.server.status < 400:
            self.send_header("Location", self.server.url("/elsewhere"))
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_GET = do_POST

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_a_webhook_posts_the_notice(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOOK_TOKEN", "Bearer t0k3n")
    action = Action.webhook(receiver.url(), headers_from_env={"Authorization": "HOOK_TOKEN"})
    assert perform([action], NOTICE) == ()
    ((path, headers, body),) = receiver.posts
    assert path == "/hook?secret=s3cr3t"
    assert headers["Authorization"] == "Bearer t0k3n"
    assert headers["Content-Type"] == "application/json"
    assert body["endpoint"] == "fraud"
    assert body["at_us"] == NOTICE.at_us
    assert body["firings"][0] == {
        "kind": "drift",
        "subject": "amount",
        "measure": "ks",
        "figure": 0.4,
        "threshold": 0.2,
        "message": "amount has drifted",
    }
    assert "t0k3n" not in repr(action)
    assert "s3cr3t" not in repr(action)


@pytest.mark.parametrize("status", [302, 307, 400, 500])
def test_any_other_answer_is_a_failure_and_no_redirect_is_followed(receiver: Receiver, status: int) -> None:
    receiver.status = status
    (failure,) = perform([Action.webhook(receiver.url())], NOTICE)
    assert failure.action == "webhook 127.0.0.1"
    assert failure.reason == f"127.0.0.1 answered {status}: check the webhook's address and token"
    assert len(receiver.posts) == 1


def test_a_dead_address_or_a_missing_secret_is_a_failure(receiver: Receiver) -> None:
    receiver.server_close()
    secret = Action.webhook(receiver.url(), headers_from_env={"X-Token": "EAGLERAY_TEST_UNSET"})
    dead, unset = perform([Action.webhook(receiver.url()), secret], NOTICE)
    assert "cannot post to 127.0.0.1" in dead.reason
    assert "s3cr3t" not in dead.reason
    assert "EAGLERAY_TEST_UNSET, which is not set" in unset.reason


@pytest.mark.parametrize("url", ["file:///etc/passwd", "example.org/hook", "ftp://example.org", "http://"])
def test_only_web_addresses(url: str) -> None:
    with pytest.raises(DefinitionError, match="cannot post to"):
        Action.webhook(url)


def test_a_failing_action_stops_no_other(caplog: pytest.LogCaptureFixture) -> None:
    told: list[Notice] = []

    def explode(notice: Notice) -> None:
        raise KeyError("oops")

    with caplog.at_level(logging.WARNING, logger="eagleray.monitoring"):
        failures = perform([Action.call(explode), Action.log(), Action.call(told.append)], NOTICE)
    assert [(f.action, f.reason) for f in failures] == [("call explode", "KeyError: 'oops'")]
    assert told == [NOTICE]
    assert "fraud: amount has drifted" in caplog.text
    assert "action call explode failed" in caplog.text


def test_a_figure_that_is_not_finite_is_null() -> None:
    firing = Firing("quality", "roc_auc", "roc_auc", float("nan"), 0.5, "")
    assert Notice("e", 0, (firing,)).to_json()["firings"][0]["figure"] is None  # type: ignore[index]
