"""The Open Inference Protocol V2 of a graph over HTTP, below its name; gRPC's messages come in by the same route.

The graph is the one model there is, its content the one version. How tensors become events is told in `v2_events.py`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial

import orjson

from ...functions.http.content_types import BINARY, JSON, PROTOBUF
from ...functions.http.http_app import Exchange, Handler, Reply, problem_reply
from ...functions.http.problem import Problem
from ...runtime.inference_server import server_metadata
from ..flows.event import Batch
from .answers import rows_of
from .gather import Answers
from .inference import InferReply, InferRequest
from .v2_describe import Described
from .v2_events import batch_of, outputs
from .v2_json import read_json, write_json
from .v2_tensors import refused

MAX_EVENTS = 10_000
_HEADER_SIZE = b"inference-header-content-length"
_ROOT = "/v2"


class Inference:
    """The routes; `run` answers a batch."""

    def __init__(self, described: Described, run: Callable[[Batch, Exchange], Awaitable[Answers]]) -> None:
        self._described = described
        self._run = run
        model = f"{_ROOT}/models/{described.name}"
        self._models = (model, f"{model}/versions/{described.version}") if described.version else (model,)
        self._routes = frozenset((*self.posts(), *self.pages()))

    def posts(self) -> dict[str, Handler]:
        """The handlers by route."""
        return {f"{model}/infer": self._infer for model in self._models}

    def pages(self) -> dict[str, Callable[[], Reply]]:
        """What GET is answered with, by route."""
        name = self._described.name
        fixed = {
            _ROOT: server_metadata(),
            f"{_ROOT}/health/live": {"live": True},
            f"{_ROOT}/health/ready": {"ready": True},
        }
        fixed |= {f"{model}/ready": {"name": name, "ready": True} for model in self._models}
        made: dict[str, Callable[[], Reply]] = {
            route: partial(_written, orjson.dumps(told)) for route, told in fixed.items()
        }
        return made | {model: lambda: _written(orjson.dumps(self._described.as_dict())) for model in self._models}

    def open_pages(self) -> frozenset[str]:
        """What watches a server asks without a key."""
        ready = (f"{model}/ready" for model in self._models)
        return frozenset((_ROOT, f"{_ROOT}/health/live", f"{_ROOT}/health/ready", *ready))

    def tell(self, problem: Problem, exchange: Exchange) -> Reply:
        """An error as the protocol has it, on its routes; a problem document elsewhere."""
        if not f"{exchange.route}/".startswith(f"{_ROOT}/"):
            return problem_reply(problem, exchange)
        is_route = exchange.route in self._routes
        detail = problem.detail if problem.status != 404 or is_route else self._unknown(exchange.route)
        step = f" (step {problem.step})" if problem.step else ""
        return JSON, orjson.dumps({"error": f"{detail}{step}"})

    async def _infer(self, body: bytes, exchange: Exchange) -> Reply:
        if exchange.header(b"content-type").startswith(PROTOBUF):
            from .protobuf_v2 import read_message, write_message

            request = read_message(body)
            return PROTOBUF, write_message(await self._answer(request, exchange), request)
        if exchange.header(b"content-encoding") not in (b"", b"identity"):
            raise refused("compressed bodies are not read here; send it as it is", status=415)
        told = exchange.header(_HEADER_SIZE)
        if told and not (told.isdigit() and len(told) < 20):
            raise refused(f"Inference-Header-Content-Length is {told.decode('latin-1')!r}; say how many bytes are JSON")
        request = read_json(body, int(told) if told else None)
        written, header_size = write_json(await self._answer(request, exchange), request)
        if header_size is None:
            return JSON, written
        exchange.headers = ((_HEADER_SIZE, b"%d" % header_size),)
        return BINARY, written

    async def _answer(self, request: InferRequest, exchange: Exchange) -> InferReply:
        described = self._described
        count = max((tensor.shape[0] for tensor in request.inputs if tensor.shape), default=0)
        if count > MAX_EVENTS:
            raise refused(f"{count} rows in one request; send at most {MAX_EVENTS}", status=413)
        name = request.id or exchange.request_id
        batch = batch_of(request.inputs, name, features=described.features, is_first=described.predicts_first)
        rows = rows_of(await self._run(batch, exchange))
        wanted = [name for name, _ in request.outputs]
        found = outputs(rows, wanted) if rows else described.nothing(wanted)
        described.learn(found)
        return InferReply(described.name, described.version, found, id=request.id)

    def _unknown(self, route: str) -> str:
        name, version = self._described.name, self._described.version
        models, _, rest = route.removeprefix(f"{_ROOT}/").partition("/")
        asked, _, rest = rest.partition("/")
        if models != "models" or not asked:
            return f"no {route!r} here; there are {_ROOT}, {_ROOT}/health/ready and {self._models[0]}"
        if asked != name:
            return f"no model {asked!r} here; this is {name!r}"
        if rest.startswith("versions/") and rest.split("/")[1] != version:
            return f"no version {rest.split('/')[1]!r} of {name!r} here; this is {version!r}"
        return f"no {rest!r} of a model; there are infer and ready"


def _written(body: bytes) -> Reply:
    return JSON, body
