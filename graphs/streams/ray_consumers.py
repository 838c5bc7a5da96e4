"""Adapter: consumers in Ray actors, started anew when they die; a deployed stream's outlive who deployed them."""

from __future__ import annotations

import contextlib
import threading
import uuid
from collections.abc import Callable, Sequence
from typing import Any

import cloudpickle
import ray

from ...runtime import lasting, ray_cluster
from ...runtime.errors import DefinitionError, ServerUnavailable
from ...runtime.ray_tasks import clear, travelling
from ...runtime.resources import Resources
from ...runtime.settings import Settings
from .graph_stream import GraphStream

PREFIX = "graph-stream:"
STOP_TIMEOUT_S = 60.0
_ATTEMPT_EVERY_S = 1.0
Make = Callable[[str], GraphStream]
"""Makes a stream for an owner of leases: its name stays when Ray starts the actor anew, so that it has its own back."""


class ConsumerActor:
    """One consumer process."""

    def __init__(self, packed: bytes, owner: str) -> None:
        self._packed, self._owner = packed, owner
        self._ends = threading.Event()
        self._failure: str | None = "it has not begun"
        self._thread = threading.Thread(target=self._run, name=f"consumer {owner}")
        self._thread.start()

    def failure(self) -> str | None:
        """Why it does not work, None when it does."""
        return self._failure

    def stop(self) -> None:
        """Ends after the step it is at."""
        self._ends.set()
        self._thread.join()

    def _run(self) -> None:
        while True:
            try:
                make: Make = cloudpickle.loads(self._packed)
                with make(self._owner):
                    self._failure = None
                    self._ends.wait()
            except Exception as error:  # noqa: BLE001 - a server that is away, or anything of the user's: it is shown
                self._failure = f"{type(error).__name__}: {error}"
                print(f"{self._owner}: {self._failure}", flush=True)  # noqa: T201 - the actor's own log
            if self._ends.wait(_ATTEMPT_EVERY_S):
                return


def packed_make(make: Make, *, name: str, modules: Sequence[str]) -> bytes:
    """The maker as bytes, the user's own modules with it; raises `InputError` for what cannot travel."""
    try:
        with travelling(modules):
            data: bytes = cloudpickle.dumps(make)
    except TypeError as error:
        raise clear(error, name) from None
    return data


def _asked(needs: Resources) -> dict[str, Any]:
    return {**needs.ray_options(), "max_restarts": -1, "max_concurrency": 4}


class Children:
    """Consumers that come and go with the process that started them."""

    def __init__(self) -> None:
        self._handles: list[Any] = []

    def start(self, packed: bytes, needs: Resources) -> None:
        """One more."""
        actor: Any = ray.remote(ConsumerActor)
        self._handles.append(actor.options(**_asked(needs)).remote(packed, uuid.uuid4().hex))

    def close(self) -> None:
        """Ends them; what they are at is done by the next ones."""
        for handle in self._handles:
            with contextlib.suppress(ray.exceptions.RayError):
                ray.kill(handle, no_restart=True)


class DeployedConsumers:
    """The consumers of one name on the cluster that the settings name; raises `ServerUnavailable` where none stays."""

    def __init__(self, name: str, settings: Settings) -> None:
        if settings.ray_address is None and not ray_cluster.is_up() and lasting.find(settings.home) is None:
            raise ServerUnavailable(
                f"a deployed stream outlives this process, so it needs a Ray that does: {lasting.CURE}"
            )
        ray_cluster.connect(settings)
        self._name = name

    def deploy(self, packed: bytes, *, workers: int, needs: Resources) -> None:
        """Starts them; those that run already are replaced, one after the other.

        Raises `DefinitionError` with the reason when one does not come to work.
        """
        actor: Any = ray.remote(ConsumerActor)
        for place in range(workers):
            name = f"{PREFIX}{self._name}#{place}"
            _end(name)
            placed = actor.options(name=name, namespace=ray_cluster.NAMESPACE, lifetime="detached", **_asked(needs))
            self._check(placed.remote(packed, name))
        for name in self.names()[workers:]:
            _end(name)

    def names(self) -> list[str]:
        """The actors, in their order."""
        listing: Any = ray.util.list_named_actors(all_namespaces=True)
        mine = [one["name"] for one in listing if one["namespace"] == ray_cluster.NAMESPACE]
        found = [name for name in mine if name.startswith(f"{PREFIX}{self._name}#")]
        return sorted(found, key=lambda name: int(name.rpartition("#")[2]))

    def stop(self) -> int:
        """Ends all of them after the steps they are at; how many there were."""
        names = self.names()
        for name in names:
            _end(name)
        return len(names)

    def _check(self, handle: Any) -> None:
        pause = threading.Event()
        why: str | None = ""
        for _ in range(int(STOP_TIMEOUT_S / 0.2)):
            why = ray.get(handle.failure.remote())
            if why is None:
                return
            if why.startswith("DefinitionError"):
                break
            pause.wait(0.2)
        ray.kill(handle, no_restart=True)
        raise DefinitionError(f"{self._name}: the stream does not start: {why}")


def _end(name: str) -> None:
    """Ends the actor of that name, if there is one: in peace where it answers."""
    try:
        handle = ray.get_actor(name, namespace=ray_cluster.NAMESPACE)
    except ValueError:
        return
    with contextlib.suppress(ray.exceptions.RayError):
        ray.get(handle.stop.remote(), timeout=STOP_TIMEOUT_S)
    ray.kill(handle, no_restart=True)
