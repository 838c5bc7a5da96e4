"""What a pipeline's step costs beside the same work written by hand: ratios of one run.

    python benchmarks/pipelines.py --json

By hand is what keeping a step takes at least: its output as a JSON file, written beside and renamed, and a row in
SQLite that is committed before the next step begins. `chain` is steps one after the other, `items` a list's items on
four threads, `tracked` the chain with a run a step in MLflow, by hand with MLflow's client: opened, one parameter,
ended. The two sides take turns; what is told is milliseconds a step, the best of the rounds, and ours over theirs.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sqlite3
import tempfile
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from eagleray import Pipeline, Settings


def step(x: int) -> int:
    """Next to nothing: what is measured stands around it."""
    return x + 1


def total(parts: list[int]) -> int:
    """The end of the items."""
    return sum(parts)


def chain(steps: int) -> Pipeline:
    """Steps one after the other."""
    p = Pipeline("chain")
    last = p.parameter("x", 0)
    for place in range(steps):
        last = p.step(step, last, name=f"s{place}")
    return p


def items(steps: int) -> Pipeline:
    """A step for every item of a list."""
    p = Pipeline("items")
    p.step(total, p.map(step, over=list(range(steps))))
    return p


class ByHand:
    """A folder of outputs and a table of steps."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._table = sqlite3.connect(folder / "steps.db", check_same_thread=False)
        self._table.execute("create table steps (run, step, output, primary key (run, step))")

    def keep(self, value: object) -> str:
        data = json.dumps(value).encode()
        name = hashlib.sha256(data).hexdigest()
        half = self._folder / f"{name}.part"
        half.write_bytes(data)
        half.replace(self._folder / name)
        return name

    def row(self, run: str, place: int, output: str) -> None:
        self._table.execute("insert into steps values (?, ?, ?)", (run, place, output))
        self._table.commit()

    def chain(self, run: str, steps: int, around: Callable[[int, int], int] | None = None) -> None:
        value = 0
        for place in range(steps):
            value = step(value) if around is None else around(place, value)
            self.row(run, place, self.keep(value))

    def items(self, run: str, steps: int) -> None:
        with ThreadPoolExecutor(4) as pool:
            for place, output in enumerate(pool.map(lambda x: self.keep(step(x)), range(steps))):
                self.row(run, place, output)


def tracked_by_hand(settings: Settings) -> Callable[[int, int], int]:
    """A step with a run in MLflow."""
    from mlflow import MlflowClient
    from mlflow.entities import Param

    client = MlflowClient(settings.tracking)
    experiment = client.create_experiment("by-hand")

    def around(place: int, value: int) -> int:
        run = client.create_run(experiment, run_name=f"s{place}")
        client.log_batch(run.info.run_id, params=[Param("x", str(value))])
        made = step(value)
        client.set_terminated(run.info.run_id, "FINISHED")
        return made

    return around


def measured(steps: int, rounds: int) -> dict[str, float]:
    """Milliseconds a step, ours and by hand, and their ratios."""
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        settings, hand = Settings(home=folder / "home"), ByHand(folder)
        tracked_steps = max(10, steps // 10)
        chain(2).run(settings=settings)  # MLflow's database is made once
        around = tracked_by_hand(settings)
        work: dict[str, tuple[Callable[[str], object], Callable[[str], object], int]] = {}
        one, many, few = chain(steps), items(steps), chain(tracked_steps)
        work["chain"] = (
            lambda _: one.run(settings=settings, track=False), lambda run: hand.chain(run, steps), steps,
        )  # fmt: skip
        work["items"] = (
            lambda _: many.run(settings=settings, track=False), lambda run: hand.items(run, steps), steps,
        )  # fmt: skip
        work["tracked"] = (
            lambda _: few.run(settings=settings), lambda run: hand.chain(run, tracked_steps, around), tracked_steps,
        )  # fmt: skip
        found: dict[str, float] = {}
        for what, (ours, theirs, count) in work.items():
            for turn in range(rounds):
                for side, do in (("ours", ours), ("by_hand", theirs)):
                    started = time.perf_counter()
                    do(f"{what}{turn}")
                    spent_ms = (time.perf_counter() - started) * 1e3 / count
                    key = f"{what}_{side}_ms"
                    found[key] = min(found.get(key, spent_ms), spent_ms)
            found[f"{what}_ratio"] = found[f"{what}_ours_ms"] / found[f"{what}_by_hand_ms"]
        return {key: round(value, 3) for key, value in found.items()}


def main() -> None:
    """Prints the figures."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    figures = measured(chosen.steps, chosen.rounds)
    print(json.dumps(figures, indent=2) if chosen.json else "\n".join(f"{key}: {one}" for key, one in figures.items()))


if __name__ == "__main__":
    main()
