"""Which answers a request is repeated for: those of no replica, never a replica's own."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from eagleray.functions.rollouts.client import Client
from eagleray.runtime.errors import ServerUnavailable

OWN = json.dumps({"status": 503, "detail": "no store", "step": "enrich", "request_id": "r"}).encode()
PROXY = json.dumps({"status": 503, "detail": "no replica could answer; ask again"}).encode()


class Scripted(BaseHTTPRequestHandler):
    """Answers as it is told, one answer after the other."""

    protocol_version = "HTTP/1.1"
    answers: list[tuple[int, bytes]]
    keys: list[str | None]

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.keys.append(self.headers["idempotency-key"])
        status, body = self.answers.pop(0)
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as the library has it
        pass


@pytest.fixture
def service() -> Iterator[tuple[type[Scripted], Client]]:
    script = type("Script", (Scripted,), {"answers": [], "keys": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), script)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    client = Client(f"http://127.0.0.1:{server.server_address[1]}/graph")
    yield script, client
    client.close()
    server.shutdown()
    thread.join()
    server.server_close()


def test_what_no_replica_answered_is_asked_again_under_one_key(service):
    script, client = service
    script.answers += [(503, PROXY), (502, b"gone"), (500, b"Internal Server Error"), (200, b'{"x": 1}')]
    assert client.post("", {}, may_repeat=True) == {"x": 1}
    assert len(script.keys) == 4
    assert len(set(script.keys)) == 1


def test_a_replica_s_own_error_is_the_answer(service):
    script, client = service
    script.answers += [(503, OWN), (503, PROXY)]
    with pytest.raises(ServerUnavailable, match=r"no store \(step enrich\)"):
        client.post("", {}, may_repeat=True)
    with pytest.raises(ServerUnavailable, match="ask again"):
        client.post("", {})
    assert script.keys[1] is None
