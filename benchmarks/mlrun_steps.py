"""MLRun's mock server over three small steps, in its own environment: what `graphs.py --mlrun PYTHON` starts."""

from __future__ import annotations

import json
import logging
import time

import mlrun  # type: ignore[import-not-found, unused-ignore]

CALLS, ROUNDS = 100, 60


def one(body: dict[str, float]) -> dict[str, float]:
    body["a"] = body["x"] + 1
    return body


def main() -> None:
    logging.disable(logging.CRITICAL)
    mlrun.utils.logger.set_logger_level("ERROR")
    found = {}
    for engine in ("sync", "async"):
        function = mlrun.new_function("steps", kind="serving")
        graph = function.set_topology("flow", engine=engine)
        for place in range(3):
            graph = graph.to(name=f"s{place}", handler="one")
        graph.respond()
        server = function.to_mock_server(namespace={"one": one})
        best = float("inf")
        for _ in range(ROUNDS):
            began = time.perf_counter()
            for _ in range(CALLS):
                server.test("/", body={"x": 1.0})
            best = min(best, (time.perf_counter() - began) / CALLS)
        server.wait_for_completion()
        found[engine] = best * 1e6
    print(json.dumps(found))


if __name__ == "__main__":
    main()
