"""What `@function` costs beside plain Python and raw Ray, as ratios of one run: `benchmarks/functions.py --json`.

Contenders that start Ray run in fresh processes, in turn. Raw Ray's one task an item is timed over fewer items, and
compared by items a second.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
import timeit
from collections.abc import Callable
from typing import Any

from eagleray import function, session

TINY, RAW_TINY, SLOW, SLOW_S = 100_000, 4_000, 200, 0.05
CORES = 2

FIRST_OURS = """
import time; start = time.perf_counter()
import eagleray, ray
from eagleray.runtime import ray_cluster
from eagleray.runtime.settings import Settings
ray_cluster.connect(Settings.from_env())
@eagleray.function
def f(x): return x + 1
began = time.perf_counter()
assert ray.get(f.remote(1)) == 2
print(time.perf_counter() - began)
"""
FIRST_RAW = """
import time
import eagleray, ray
from eagleray.runtime import ray_cluster
from eagleray.runtime.settings import Settings
ray_cluster.connect(Settings.from_env())
def f(x): return x + 1
began = time.perf_counter()
assert ray.get(ray.remote(f).remote(1)) == 2
print(time.perf_counter() - began)
"""


@function
def increment(x: int) -> int:
    return x + 1


@function
def waits(x: int) -> int:
    time.sleep(SLOW_S)
    return x


def plain_call() -> dict[str, float]:
    """Microseconds that the decorator adds to a call."""
    plain, decorated = (_best_us(fn) for fn in (increment.__wrapped__, increment))
    return {"plain_us": plain, "decorated_us": decorated, "added_us": decorated - plain}


def _best_us(fn: Callable[[int], int]) -> float:
    return min(timeit.repeat(lambda: fn(1), number=50_000, repeat=9)) / 50_000 * 1e6


def start_up(rounds: int) -> dict[str, float]:
    """Seconds of `import eagleray` beside an empty process, and of `eagleray --help`."""
    empty = _seconds([sys.executable, "-c", "pass"], rounds)
    imported = _seconds([sys.executable, "-c", "import eagleray"], rounds)
    helped = _seconds([sys.executable, "-m", "eagleray.cli", "--help"], rounds)
    return {"empty_s": empty, "import_s": imported, "help_s": helped}


def first_result(rounds: int) -> dict[str, float]:
    """Seconds to the first result once Ray is up, ours and raw, in turn."""
    ours, raw = [], []
    for _ in range(rounds):
        ours.append(_printed(FIRST_OURS))
        raw.append(_printed(FIRST_RAW))
    return {
        "ours_s": statistics.median(ours),
        "raw_s": statistics.median(raw),
        "ratio": statistics.median(a / b for a, b in zip(ours, raw, strict=True)),
    }


def tiny_items(rounds: int) -> dict[str, float]:
    """Items a second of `.map` over tiny items, and of raw Ray with one task an item."""
    import ray

    raw_task = ray.remote(increment.__wrapped__)
    list(increment.map(range(100)))
    ray.get([raw_task.remote(x) for x in range(100)])
    ours, raw = [], []
    for _ in range(rounds):
        ours.append(TINY / _timed(lambda: sum(1 for _ in increment.map(range(TINY)))))
        raw.append(RAW_TINY / _timed(lambda: ray.get([raw_task.remote(x) for x in range(RAW_TINY)])))
    return {
        "ours_per_s": statistics.median(ours),
        "raw_per_s": statistics.median(raw),
        "ratio": statistics.median(a / b for a, b in zip(ours, raw, strict=True)),
    }


def slow_items(rounds: int) -> dict[str, float]:
    """`.map` over items of 50 ms against what the cores could do at best."""
    ideal = SLOW * SLOW_S / CORES
    list(waits.map(range(CORES)))
    spent = [_timed(lambda: list(waits.map(range(SLOW)))) for _ in range(rounds)]
    return {"ideal_s": ideal, "ours_s": statistics.median(spent), "ratio": ideal / statistics.median(spent)}


def _timed(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def _seconds(command: list[str], rounds: int) -> float:
    run = lambda: subprocess.run(command, check=True, stdout=subprocess.DEVNULL)  # noqa: E731 - reads best here
    return min(_timed(run) for _ in range(rounds + 1))


def _printed(code: str) -> float:
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    return float(done.stdout.split()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    found: dict[str, Any] = {
        "plain call": plain_call(),
        "start-up": start_up(options.rounds),
        "first .remote result": first_result(options.rounds),
    }
    with session(num_cpus=CORES):
        found["100,000 tiny items"] = tiny_items(options.rounds)
        found["200 items of 50 ms"] = slow_items(options.rounds)
    if options.json:
        print(json.dumps(found, indent=1))
        return
    for name, figures in found.items():
        print(f"{name:24}", "  ".join(f"{key} {value:.4g}" for key, value in figures.items()))


if __name__ == "__main__":
    main()
