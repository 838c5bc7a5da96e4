"""Adapter: streams as Ray actors that outlive who deployed them and start again when they are killed."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

import ray

from ...runtime import lasting, ray_cluster
from ...runtime.bundle import local_modules
from ...runtime.errors import DefinitionError, ServerUnavailable
from ...runtime.ray_tasks import clear, travelling
from ...runtime.settings import Settings
from ..definitions.feature_set import FeatureSet
from .deployment import Deployment
from .stream import Stream

PREFIX = "stream:"
STOP_TIMEOUT_S = 60.0
_ATTEMPT_EVERY_S = 1.0


class Runs(Protocol):
    """What runs a worker."""

    def run(
        self, feature_set: FeatureSet, *, lease_s: float, owner: str, source: str | None
    ) -> AbstractContextManager[Stream]: ...


class Streaming(Protocol):
    """A store, as far as an actor needs it; it travels by its settings."""

    @property
    def streams(self) -> Runs: ...


class StreamActor:
    """One worker process. Its owner's name stays when Ray starts it anew, so it takes its own leases back at once."""

    def __init__(self, store: Streaming, packed: bytes, owner: str, how: Deployment) -> None:
        self._store, self._packed, self._owner, self._how = store, packed, owner, how
        self._ends = threading.Event()
        self._failure: str | None = "it has not begun"
        self._thread = threading.Thread(target=self._run, name="streaming")
        self._thread.start()

    def failure(self) -> str | None:
        """Why it does not stream, None when it does."""
        return self._failure

    def stop(self) -> str | None:
        """Works through what there is, saves it and ends; what kept it from that."""
        self._ends.set()
        self._thread.join()
        return self._failure

    def _run(self) -> None:
        while True:
            try:
                feature_set: FeatureSet = ray.cloudpickle.loads(self._packed)
                streams, how = self._store.streams, self._how
                with streams.run(feature_set, lease_s=how.lease_s, owner=self._owner, source=how.source):
                    self._failure = None
                    self._ends.wait()
            except Exception as error:  # noqa: BLE001 - a server that is away, or anything of the user's: it is shown
                self._failure = f"{type(error).__name__}: {error}"
            if self._ends.wait(_ATTEMPT_EVERY_S):
                return


class RayStreams:
    """The deployed streams of the cluster that the settings name; raises `ServerUnavailable` where none stays."""

    def __init__(self, settings: Settings) -> None:
        if settings.ray_address is None and not ray_cluster.is_up() and lasting.find(settings.home) is None:
            raise ServerUnavailable(
                f"a deployed stream outlives this process, so it needs a Ray that does: {lasting.CURE}"
            )
        ray_cluster.connect(settings)

    def deploy(self, store: Streaming, feature_set: FeatureSet, how: Deployment) -> None:
        """Starts the actors of the version; those that run already are replaced, one after the other.

        Raises `DefinitionError` with the reason when the first does not come to stream.
        """
        feature_set.content_hash()  # so that it travels along: without the source it would come out otherwise
        given: Any = feature_set
        pickler: Any = ray.cloudpickle
        try:
            with travelling(local_modules(given)):
                packed = pickler.dumps(feature_set)
        except TypeError as error:
            raise clear(error, feature_set.name) from None
        actor: Any = ray.remote(StreamActor)
        asked = {"num_cpus": how.cpus, "max_restarts": -1, "max_concurrency": 4, "lifetime": "detached"}
        for place in range(how.workers):
            name = f"{PREFIX}{how.full_name}#{place}"
            _end(name)
            placed = actor.options(name=name, namespace=ray_cluster.NAMESPACE, **asked)
            handle = placed.remote(store, packed, name, how)
            self._check(handle, feature_set.name)
        for name in self.names(how.full_name)[how.workers :]:
            _end(name)

    def names(self, full_name: str) -> list[str]:
        """The version's actors, in their order."""
        listing: Any = ray.util.list_named_actors(all_namespaces=True)
        mine = [one["name"] for one in listing if one["namespace"] == ray_cluster.NAMESPACE]
        found = [name for name in mine if name.startswith(f"{PREFIX}{full_name}#")]
        return sorted(found, key=lambda name: int(name.rpartition("#")[2]))

    def stop(self, full_names: Sequence[str]) -> int:
        """Ends all actors of these versions, their work saved; how many there were."""
        names = [name for full_name in full_names for name in self.names(full_name)]
        for name in names:
            _end(name)
        return len(names)

    def _check(self, handle: Any, name: str) -> None:
        pause = threading.Event()
        for _ in range(int(STOP_TIMEOUT_S / 0.2)):
            why: str | None = ray.get(handle.failure.remote())
            if why is None:
                return
            if why.startswith("DefinitionError"):
                ray.kill(handle, no_restart=True)
                raise DefinitionError(f"{name}: the stream does not start: {why.partition(': ')[2]}")
            pause.wait(0.2)
        ray.kill(handle, no_restart=True)
        raise ServerUnavailable(f"{name}: the stream did not start within {STOP_TIMEOUT_S:g} s: {why}")


def _end(name: str) -> None:
    """Ends the actor of that name, if there is one: in peace where it answers."""
    try:
        handle = ray.get_actor(name, namespace=ray_cluster.NAMESPACE)
    except ValueError:
        return
    with contextlib.suppress(ray.exceptions.RayError):  # what it has not saved then is in the log
        ray.get(handle.stop.remote(), timeout=STOP_TIMEOUT_S)
    ray.kill(handle, no_restart=True)
