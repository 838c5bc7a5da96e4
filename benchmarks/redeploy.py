"""How long a deployed function takes to change: `benchmarks/redeploy.py --json`.

Seconds, medians of some rounds: `unchanged` is a deployment of the same content, `changed` the time from `deploy` of
other code to the first answer that it gives. A client asks all the while: `asked` requests, of which `failed` got
neither version's answer.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from eagleray import function, session
from eagleray.runtime.errors import EaglerayError
from eagleray.runtime.settings import Settings

ROUNDS = 5


def made(answer: int) -> Any:
    """A function whose code holds `answer`."""

    @function(name="number", cpus=0.25)
    def number(x: int) -> int:
        return x + answer

    return number


class Client(threading.Thread):
    """Asks until it is told to stop, and notes when it first got each answer."""

    def __init__(self, endpoint: Any) -> None:
        super().__init__(daemon=True)
        self.endpoint = endpoint
        self.first_at: dict[int, float] = {}
        self.asked, self.failed, self.ended = 0, 0, False

    def run(self) -> None:
        while not self.ended:
            self.asked += 1
            try:
                self.first_at.setdefault(self.endpoint.call(0), time.perf_counter())
            except EaglerayError:
                self.failed += 1


def measured(settings: Settings) -> dict[str, float]:
    """The figures of one run."""
    client = Client(made(0).deploy(settings=settings))
    client.start()
    unchanged, changed = [], []
    for answer in range(1, ROUNDS + 1):
        began = time.perf_counter()
        made(answer).deploy(settings=settings)
        while answer not in client.first_at:
            time.sleep(0.001)
        changed.append(client.first_at[answer] - began)
        began = time.perf_counter()
        made(answer).deploy(settings=settings)
        unchanged.append(time.perf_counter() - began)
    client.ended = True
    client.join()
    return {
        "unchanged_s": round(statistics.median(unchanged), 3),
        "changed_s": round(statistics.median(changed), 3),
        "asked": client.asked,
        "failed": client.failed,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="for machines")
    as_json = parser.parse_args().json
    with tempfile.TemporaryDirectory() as home, session(Settings(home=Path(home))) as here:
        figures = measured(here.settings)
    print(json.dumps(figures) if as_json else "\n".join(f"{name:12} {value:g}" for name, value in figures.items()))


if __name__ == "__main__":
    main()
