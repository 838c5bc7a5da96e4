"""Steps that keep something on a server: what is remembered by key, and what is done later."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ..runtime.retries import Retries
from ..runtime.settings import Settings
from .flows.check import check_state
from .flows.paths import check_path
from .flows.step import Declared, Step
from .flows.step_options import QueueRule, StateRule, StepOptions

if TYPE_CHECKING:
    from ..featurestore.sources.event_source import EventSource
    from ..featurestore.store import FeatureStore
    from .streams.deployed_stream import DeployedStream
    from .streams.graph_stream import GraphStream


class KeepingSteps:
    """The makers of these steps, which a graph has with its others, and its work through a stream."""

    name: str

    def state(
        self, function: Callable[..., Any], *, key: str, ttl_s: float | None = None, name: str | None = None
    ) -> Step:
        """`function(state, body)` gives the new state and the new body (or None to leave it); a dict is kept by `key`.

        `key` is a place in the body. The state is {} at first, and gone when None is given for it, or `ttl_s` after it
        was last written. It is kept online for all replicas; where two of them are at one key, the function runs again
        for the one that was later. It may hold numbers, text, bytes, lists and dicts.
        """
        step = Step.calling(function, kind="state", name=name)
        check_state(self.name, step)
        return replace(step, options=replace(step.options, state=StateRule(check_path(key), ttl_s)))

    def queue(
        self,
        name: str = "tail",
        *,
        by: str = "",
        partitions: int = 4,
        workers: int = 1,
        retries: int | Retries = 3,
        most_waiting: int = 100_000,
    ) -> Step:
        """The request is answered here, and what comes behind is done by `workers` of its own, at least once.

        The answer is {"id", "queued": true} and what respond() selects, as far as it is known by then. Events with one
        value at the place `by` stay in their order. Behind it, state steps count an event once however often it comes;
        a function that does something elsewhere tells it by its `event.id`. What fails is tried again, then put aside
        (`endpoint.queue(name)` has it). With `most_waiting` events in it, requests are refused with the time to come
        again. In `test`, the tail runs at once, and its answer stands in the request's under "tails". The workers live
        with the replicas that take the requests, so a graph that scales to none works its queues through once it is
        asked again.
        """
        tries = retries if isinstance(retries, Retries) else Retries(retries, on=(Exception,), backoff_s=0.1)
        path = check_path(by) if by else ()
        rule = QueueRule(path, partitions, workers, tries, most_waiting)
        return Step("queue", name, options=StepOptions(queue=rule))

    def stream(
        self: Declared,
        source: str | EventSource,
        *,
        answers: str | None = None,
        schema: Mapping[str, str] | None = None,
        retries: int | Retries = 3,
        store: FeatureStore | None = None,
        settings: Settings | None = None,
    ) -> GraphStream:
        """Works through a stream in this process until it is closed; best used in a `with` block.

        `source` is `redis://HOST:PORT/STREAM` (XADD fields, or JSON in one field) or `kafka://HOST:PORT/TOPIC` (JSON),
        whose fields are read by `schema` where one is given. Each message is an event; answers go to the Redis stream
        `answers` as entries of `id` and `answer`. Run it in as many processes as you like: they share the parts of the
        source, go on where a killed one was, and count each event once in state steps and among the answers. What goes
        on failing is put aside: `dead_letters()`, `status()`.
        """
        from .streams.graph_stream import GraphStream, StreamOptions

        tries = retries if isinstance(retries, Retries) else Retries(retries, on=(Exception,), backoff_s=0.1)
        where = settings or (store.settings if store is not None else None) or Settings.from_env()
        options = StreamOptions(answers, schema, tries)
        return GraphStream.of_source(self, source, store=store, settings=where, options=options)

    def deploy_stream(
        self: Declared,
        source: str,
        *,
        workers: int = 1,
        answers: str | None = None,
        schema: Mapping[str, str] | None = None,
        retries: int | Retries = 3,
        settings: Settings | None = None,
    ) -> DeployedStream:
        """The same on the Ray that stays (`eagleray up`, `RAY_ADDRESS`), by workers that outlive this program and start
        again when they are killed.

        Deploying anew replaces them one by one. Raises `ServerUnavailable` where no Ray stays.
        """
        from .streams.deployed_stream import deploy_stream
        from .streams.graph_stream import StreamOptions

        tries = retries if isinstance(retries, Retries) else Retries(retries, on=(Exception,), backoff_s=0.1)
        where, options = settings or Settings.from_env(), StreamOptions(answers, schema, tries)
        return deploy_stream(self, source, workers=workers, settings=where, options=options)
