"""What the processes of a service have printed, wherever they run: read from Ray's own files on their nodes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

_POLL_S = 0.2
_MOST_BYTES = 1 << 20  # read at once of a file
# Ray writes these lines into the files of its workers, for itself.
_MARKS = (":job_id:", ":actor_name:", ":task_name:")


@dataclass(frozen=True, slots=True)
class Worker:
    """A process of Ray, by its node's id and its own."""

    node_id: str
    worker_id: str


def lines(workers: Callable[[], list[Worker]], *, follow: bool = False) -> Iterator[str]:
    """What the workers printed, each worker's lines in order; with `follow` also what they print from now on.

    `workers` is asked again while it follows, for processes come and go; it ends when there are none left.
    """
    offsets: dict[str, int] = {}
    while True:
        found = workers()
        read_all = True
        for worker in found:
            for text, name, offset in _news(worker, offsets):
                offsets[name] = offset
                read_all = read_all and len(text) < _MOST_BYTES
                for line in text.decode(errors="replace").splitlines():
                    if not line.startswith(_MARKS):
                        yield line
        if not read_all:
            continue
        if not follow or not found:
            return
        time.sleep(_POLL_S)


def read_news(folder: str, worker_id: str, offsets: dict[str, int]) -> list[tuple[bytes, str, int]]:
    """(text, file, where it ends) of what a worker's files hold beyond `offsets`; whole lines only."""
    news = []
    for path in sorted(Path(folder).glob(f"worker-{worker_id}-*")):
        begin = offsets.get(path.name, 0)
        with path.open("rb") as file:
            file.seek(begin)
            text = file.read(_MOST_BYTES)
        whole = text.rfind(b"\n") + 1
        if not whole and len(text) == _MOST_BYTES:  # one endless line
            whole = len(text)
        if whole:
            news.append((text[:whole], path.name, begin + whole))
    return news


def _news(worker: Worker, offsets: dict[str, int]) -> list[tuple[bytes, str, int]]:
    if ray.get_runtime_context().get_node_id() == worker.node_id:
        return _read_here(worker.worker_id, offsets)
    return read_on(worker.node_id, worker.worker_id, offsets)


def read_on(node_id: str, worker_id: str, offsets: dict[str, int]) -> list[tuple[bytes, str, int]]:
    """As `read_news`, by a task on that node."""
    there = NodeAffinitySchedulingStrategy(node_id=node_id, soft=False)
    reader = ray.remote(_read_here).options(num_cpus=0, scheduling_strategy=there)
    found: list[tuple[bytes, str, int]] = ray.get(reader.remote(worker_id, offsets))
    return found


def _read_here(worker_id: str, offsets: dict[str, int]) -> list[tuple[bytes, str, int]]:
    return read_news(_logs_folder(), worker_id, offsets)


def _logs_folder() -> str:
    from ray._private import worker

    node: Any = vars(worker)["_global_node"]
    return str(node.get_logs_dir_path())
