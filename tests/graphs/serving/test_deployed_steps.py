"""Steps that reach out of a graph, or remember, when it is deployed: remote calls, caches, taps, shared predictions."""

from __future__ import annotations

import json
import queue
import threading
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from eagleray.graphs.graph import Graph
from eagleray.graphs.serving.endpoint import Endpoint
from eagleray.runtime.errors import EaglerayError, InputError, ServerUnavailable
from eagleray.runtime.resources import Resources
from eagleray.runtime.settings import Settings

from ..parts import LinearModel

SMALL = Resources(cpus=0.25)


class Limits(BaseHTTPRequestHandler):
    """Another team's service: gives a card's limit, or fails as its path says."""

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        card = body["card"]
        (seen.put(body) if self.path == "/seen" else asked.append(card))
        status, text = {"broken": (500, "out of order"), "unknown": (404, "no such card"), "html": (200, "<p>")}.get(
            card, (200, json.dumps({"limit": len(card)}))
        )
        self.send_response(status)
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its name in the library
        """Nothing."""


asked: list[str] = []
seen: queue.Queue[Any] = queue.Queue()


@pytest.fixture(scope="module")
def limits() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Limits)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}/"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(scope="module")
def end(serving: Settings, limits: str) -> Iterator[Endpoint]:
    def note(body: dict[str, Any]) -> None:
        urllib.request.urlopen(f"{limits}seen", json.dumps(body).encode()).close()

    g = Graph("limits")
    g.to(g.remote(limits).cache(ttl_s=600, key="card").at(result="found")).to(g.tap(note)).respond("found")
    end = g.deploy(settings=serving, resources=SMALL)
    yield end
    end.stop()


def test_it_asks_the_other_service_once_a_key_and_taps_what_it_got(end: Endpoint) -> None:
    asked.clear()
    for card, times in (("77", 5), ("8", 2)):
        for _ in range(times):
            assert end.call({"id": "x", "card": card}) == {"id": "x", "found": {"limit": len(card)}}
    assert asked == ["77", "8"]
    told = [seen.get(timeout=20) for _ in range(7)]
    assert told[0] == {"id": "x", "card": "77", "found": {"limit": 2}}
    assert [body["card"] for body in told] == ["77"] * 5 + ["8"] * 2


@pytest.mark.parametrize(
    ("card", "error", "said"),
    [
        ("broken", ServerUnavailable, r"answered 500: out of order \(step remote\)"),
        ("unknown", InputError, r"refused the request with 404: no such card \(step remote\)"),
        ("html", ServerUnavailable, r"answered with no JSON: <p> \(step remote\)"),
    ],
)
def test_what_it_fails_with_reaches_the_caller_and_is_not_kept(
    end: Endpoint, card: str, error: type[EaglerayError], said: str
) -> None:
    asked.clear()
    for _ in range(2):
        with pytest.raises(error, match=said):
            end.call({"card": card})
    assert asked == [card, card]


def test_concurrent_callers_share_predictions(serving: Settings, tmp_path: Path) -> None:
    sizes = tmp_path / "sizes"

    class Sized(LinearModel):
        def predict(self, rows: Any) -> Any:
            with sizes.open("a") as file:
                file.write(f"{len(rows)}\n")
            return super().predict(rows)

    g = Graph("sized")
    g.to(g.predict(Sized(("a",), (1.0,), 0.0)).batch(max_size=4, wait_ms=200)).respond("a")
    end = g.deploy(settings=serving, resources=SMALL)
    together = threading.Barrier(4)
    found: list[float] = []

    def call(a: float) -> None:
        together.wait()
        found.append(end.call({"a": a})["a"])

    threads = [threading.Thread(target=call, args=(float(place),)) for place in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    end.stop()
    assert sorted(found) == [0, 1, 2, 3]
    counts = [int(line) for line in sizes.read_text().splitlines()]
    assert sum(counts) == 4
    assert max(counts) > 1
