from __future__ import annotations

import contextlib
import http.client
import socket
import subprocess
import threading
from pathlib import Path

import pytest

from eagleray.runtime.haproxy_launch import binary, narrowed, write_launcher

WRITTEN = """global
    log 127.0.0.1:514 local0 info
    stats socket /tmp/x/h.sock mode 666
frontend prometheus
    bind :9101
frontend http_frontend
    bind 127.0.0.1:8000
    acl healthcheck path -i /-/healthz
backend default_backend
    http-request return status 404 content-type text/plain lf-string "Path not found."
backend http-fraud
    server a 127.0.0.1:30000 check
listen stats
  bind *:8404
  stats enable
"""


def test_every_port_is_on_loopback():
    binds = [line.split()[1] for line in narrowed(WRITTEN).splitlines() if line.strip().startswith("bind ")]
    assert binds == ["127.0.0.1:9101", "127.0.0.1:8000", "127.0.0.1:8404"]
    for anywhere in ("bind *:1", "bind :1", "bind 0.0.0.0:1", "bind [::]:1", "bind :::1"):
        assert narrowed(anywhere) == "bind 127.0.0.1:1"


def test_only_the_port_for_requests_is_elsewhere_when_asked():
    binds = [line.split()[1] for line in narrowed(WRITTEN, host="0.0.0.0").splitlines() if " bind " in f" {line}"]
    assert binds == ["127.0.0.1:9101", "0.0.0.0:8000", "127.0.0.1:8404"]


def test_a_replaced_proxy_lets_idle_connections_go():
    assert narrowed("defaults\n    option idle-close-on-response\n    mode http\n") == "defaults\n    mode http\n"


def test_no_log_goes_to_a_port_that_may_be_anyone_s():
    assert "514" not in narrowed(WRITTEN)


def test_requests_carry_their_time_and_it_stays_so_when_written_again():
    once = narrowed(WRITTEN)
    assert once.index("bind 127.0.0.1:8000") < once.index("set-header x-request-start") < once.index("acl healthcheck")
    assert narrowed(once) == once


def test_unknown_paths_get_a_problem_document():
    assert "application/problem+json" in narrowed(WRITTEN)
    assert "Path not found" not in narrowed(WRITTEN)


def test_calls_of_grpc_go_where_their_first_field_says():
    served = WRITTEN.replace("    acl healthcheck", "    acl is_b path /b\n    acl is_a path /a\n    acl healthcheck")
    config = narrowed(served.replace("is_b path /b", "is_b path /b\n    acl is_c path /a--canary"))
    assert config.index("set-var(txn.called)") < config.index("acl healthcheck")
    assert "set-path /a%[path] if is_grpc is_grpc_any" in config  # what names no service may go to any
    assert '; known: a, b"' in config
    assert "known" not in narrowed(served, host="0.0.0.0")  # strangers are told no names
    assert narrowed(config) == config


def test_the_launcher_stands_in_for_the_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    launcher = write_launcher(tmp_path)
    if launcher is None:
        pytest.skip("no HAProxy for this platform")
    monkeypatch.setenv("RAY_SERVE_HAPROXY_BINARY_PATH", launcher)  # as in every process of a Ray of ours
    assert binary() == launcher
    said = subprocess.run([launcher, "-v"], capture_output=True, text=True, check=True).stdout
    assert said.startswith("HAProxy version")


_PROXY = """defaults
    mode http
    timeout connect 2s
    timeout client 5s
    timeout server 5s
    option redispatch 1
    retry-on conn-failure
frontend http_frontend
    bind 127.0.0.1:{port}
    default_backend both
backend both
    balance roundrobin
    server dying 127.0.0.1:{dying}
    server living 127.0.0.1:{living}
"""


@pytest.mark.skipif(binary() is None, reason="no HAProxy for this system")
def test_a_request_that_may_be_repeated_outlives_its_replica(tmp_path: Path) -> None:
    """The first server takes requests and ends before it answers."""
    asked: list[str] = []
    with socket.create_server(("127.0.0.1", 0)) as dying, socket.create_server(("127.0.0.1", 0)) as living:
        threads = [
            threading.Thread(target=_serve, args=(server, answer, asked), daemon=True)
            for server, answer in ((dying, b""), (living, b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"))
        ]
        for thread in threads:
            thread.start()
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        config = tmp_path / "h.cfg"
        config.write_text(_PROXY.format(port=port, dying=dying.getsockname()[1], living=living.getsockname()[1]))
        launcher = write_launcher(tmp_path)
        assert launcher is not None
        with subprocess.Popen([launcher, "-db", "-f", str(config)], stderr=subprocess.DEVNULL) as proxy:
            try:
                _until_listening(port, proxy)
                plain = [_post(port, {}) for _ in range(4)]
                marked = [_post(port, {"idempotency-key": "1"}) for _ in range(4)]
            finally:
                proxy.terminate()
    assert plain.count(200) == 2  # every other one met the server that ends
    assert marked == [200] * 4
    assert set(asked) == {"{}"}  # sent again whole


def _serve(server: socket.socket, answer: bytes, asked: list[str]) -> None:
    while True:
        try:
            connection, _ = server.accept()
        except OSError:
            return
        with connection:
            taken = b""
            while b"{}" not in taken and (more := connection.recv(4096)):
                taken += more
            if taken:
                asked.append(taken.partition(b"\r\n\r\n")[2].decode())
                connection.sendall(answer)


def _until_listening(port: int, proxy: subprocess.Popen[bytes]) -> None:
    while proxy.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
    raise AssertionError("HAProxy refused its configuration")


def _post(port: int, headers: dict[str, str]) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("POST", "/x", b"{}", headers)
        return connection.getresponse().status
    finally:
        connection.close()
