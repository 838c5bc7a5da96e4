from __future__ import annotations

import asyncio
import json
import os

import httpx

from eagleray.functions.http.api_keys import ApiKeys
from eagleray.functions.http.function_app import function_app
from eagleray.functions.http.http_app import HttpOptions
from eagleray.runtime.call_options import CallOptions


def halved(x: float) -> float:
    if x < 0:
        raise ValueError("negative")
    return x / 2


def ask(app, *requests):
    async def run():
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://here") as client:
            return [await client.post("/halved?token=a-secret", **request) for request in requests]

    return asyncio.run(run())


def test_each_answer_is_a_line_of_json_that_holds_no_secret(capsys):
    keys = ApiKeys.of(["a-secret"])
    app = function_app(halved, CallOptions("halved"), HttpOptions("v1", keys=keys, access_log=True))
    right = {"authorization": "Bearer a-secret", "x-request-id": "mine"}
    answers = ask(
        app,
        {"json": {"x": 3}, "headers": right},
        {"json": {"x": -1}, "headers": right},
        {"json": {"x": 1}, "headers": {}},
    )
    text = capsys.readouterr().out
    lines = [json.loads(line) for line in text.splitlines()]
    assert [line["status"] for line in lines] == [answer.status_code for answer in answers] == [200, 500, 401]
    assert [line["request_id"] for line in lines] == [answer.headers["x-request-id"] for answer in answers]
    assert lines[0]["request_id"] == "mine"
    assert {line["path"] for line in lines} == {"/halved"}
    assert lines[0] | {"time": "", "ms": 0, "request_id": ""} == {
        "time": "",
        "request_id": "",
        "method": "POST",
        "path": "/halved",
        "status": 200,
        "ms": 0,
        "service": "halved",
        "version": "v1",
        "replica": os.getpid(),
    }
    assert lines[0]["time"].endswith("Z")
    assert all(line["ms"] >= 0 for line in lines)
    assert "secret" not in text


def test_it_is_off_unless_asked_for(capsys):
    ask(function_app(halved, CallOptions("halved"), HttpOptions("v1")), {"json": {"x": 3}})
    assert capsys.readouterr().out == ""


def test_a_clock_that_is_no_number_is_not_heeded():
    app = function_app(halved, CallOptions("halved"), HttpOptions("v1"))
    for clock in ("9" * 5000, "soon", "-1"):
        assert ask(app, {"json": {"x": 3}, "headers": {"x-request-start": clock}})[0].status_code == 200
