"""A deployed function beside FastAPI: the server that the peers' driver of the serving work (W5) starts with `--also`.

    python3 w5_serving.py --only fastapi --also eagleray=PYTHON:benchmarks/w5_serving.py

Called as `w5_serving.py NAME PORT`; answers POST /predict {"x": [20 floats]} with {"y": float}, and ends when its stdin
closes. With EAGLERAY_API_KEYS set it asks for one of them.
"""

from __future__ import annotations

import math
import sys

from eagleray import function
from eagleray.runtime import ray_cluster
from eagleray.runtime.settings import Settings

WEIGHTS = [((i * 7919) % 101) / 101 - 0.5 for i in range(20)]


@function
def predict(x: list[float]) -> dict[str, float]:
    """A dot product and its sigmoid, in plain Python as in the peers' servers."""
    return {"y": 1.0 / (1.0 + math.exp(-sum(a * b for a, b in zip(x, WEIGHTS, strict=False))))}


def main() -> None:
    settings = Settings.from_env()
    ray_cluster.connect(settings, serve_port=int(sys.argv[2]))
    endpoint = predict.deploy(settings=settings)
    print("UP", endpoint.url, endpoint.status().replica_pids, flush=True)
    sys.stdin.read()
    ray_cluster.stop()


if __name__ == "__main__":
    main()
