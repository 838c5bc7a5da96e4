from __future__ import annotations

import http.client
import json
import os
import time
from typing import Any
from urllib.parse import urlsplit

import pytest

from eagleray.runtime.errors import DeploymentError
from eagleray.runtime.resources import Resources
from eagleray.runtime.settings import Settings


class Echo:
    """The smallest application: says which process answers."""

    config: Any = None

    def configure(self, config):
        self.config = config

    async def __call__(self, scope, receive, send):
        if scope["type"] == "lifespan":
            while True:
                message = await receive()
                await send({"type": message["type"] + ".complete"})
                if message["type"] == "lifespan.shutdown":
                    return
        from ray.serve import context

        told = {
            "pid": os.getpid(),
            "nice": os.nice(0),
            "root": scope["root_path"],
            "path": scope["path"],
            "config": self.config,
        }
        # Serve's own way tells a request's code which application it belongs to.
        told["is_short"] = context._get_serve_request_context().app_name == ""
        body = json.dumps(told).encode()
        headers = [(b"content-type", b"application/json"), (b"x-request-id", b"mine")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})


def broken():
    raise ValueError("the model file is gone")


def get(url):
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=20)
    try:
        connection.request("GET", parts.path)
        response = connection.getresponse()
        return response.status, response.getheader("content-type"), response.read()
    finally:
        connection.close()


def deploy(name, build, **options: Any) -> str:
    from eagleray.autoscaling.ray_policy import autoscaling_config
    from eagleray.autoscaling.scale import Scale
    from eagleray.runtime import packed_build, ray_serve

    packed = packed_build.pack(build, modules=[__name__])
    settled: dict[str, Any] = {"resources": Resources(cpus=0.25), "code": "1"} | options
    return ray_serve.deploy(ray_serve.Application(name, packed, autoscaling=autoscaling_config(Scale()), **settled))


def test_a_service_answers_stays_when_it_is_the_same_and_goes(serving: Settings):
    from eagleray.runtime import ray_serve

    url = deploy("echo", Echo)
    status, _, body = get(url)
    assert status == 200
    told = json.loads(body)
    now = ray_serve.status("echo")
    assert (now.state, now.replicas, now.replica_pids) == ("RUNNING", 1, (told["pid"],))
    assert told["nice"] == 0

    # The same version is left alone.
    assert deploy("echo", Echo) == url
    assert ray_serve.status("echo").replica_pids == (told["pid"],)

    # A changed configuration reaches the replica that runs.
    assert deploy("echo", Echo, config={"canary": 10}) == url
    again = json.loads(get(url)[2])
    assert (again["pid"], told["config"], again["config"]) == (told["pid"], {}, {"canary": 10})

    # Who deploys what is still going waits for it.
    ray_serve.delete("echo", wait=False)
    deploy("echo", Echo)
    assert json.loads(get(url)[2])["pid"] != told["pid"]
    assert "echo" in ray_serve.names()

    ray_serve.delete("echo", "nobody")
    assert ray_serve.status("echo").state == "NOT_STARTED"
    assert get(url)[0] == 404


def test_requests_take_the_short_way(serving: Settings):
    from eagleray.runtime import haproxy_launch, ray_serve

    url = urlsplit(deploy("short", Echo))
    connection = http.client.HTTPConnection(url.netloc, timeout=20)
    deadline = time.monotonic() + 30
    while True:
        connection.request("GET", "/short/some%20where")
        response = connection.getresponse()
        told = json.loads(response.read())
        assert (told["root"], told["path"]) == ("/short", "/short/some where")
        assert len(response.headers.get_all("x-request-id", [])) == 1
        assert (response.getheader("x-request-id") == "mine") == told["is_short"]
        # Serve's Python proxy stands in until HAProxy has found the replica.
        if told["is_short"] or haproxy_launch.binary() is None:
            break
        assert time.monotonic() < deadline
    connection.close()
    ray_serve.delete("short")


def test_a_path_without_a_service_is_a_problem(serving: Settings):
    from eagleray.runtime import ray_serve

    status, content_type, body = get(f"{ray_serve.start()}/nobody")
    assert (status, content_type) == (404, "application/problem+json")
    assert json.loads(body)["status"] == 404


def test_what_keeps_a_service_from_starting_is_told_in_a_line(serving: Settings):
    from eagleray.runtime import ray_serve

    with pytest.raises(DeploymentError, match="asks 64 GPU, the largest node has 0"):
        deploy("greedy", Echo, resources=Resources(gpu=64))
    with pytest.raises(DeploymentError, match=r"'broken' did not start: ValueError: the model file is gone$"):
        deploy("broken", broken)
    assert ray_serve.status("broken").state == "NOT_STARTED"


def test_what_cannot_travel_is_told(serving: Settings):
    import threading

    lock = threading.Lock()

    def holds_a_lock():
        return lock

    with pytest.raises(DeploymentError, match=r"cannot travel.*setup\(\)"):
        deploy("lock", holds_a_lock)
