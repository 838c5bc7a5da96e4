"""Adapter: trials of a sweep by Ray Tune."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ray
from ray import tune

from ...runtime import ray_cluster
from ...runtime.bundle import local_modules
from ...runtime.ray_join import quiet
from ...runtime.ray_tasks import check_fits, travelling
from ...runtime.settings import Settings
from ..calls.spec import FunctionSpec
from .sweep_options import Space, SweepOptions, Trial

_WHOLE = "setting"  # the key of a setting that is given whole


def run_trials(
    trial: Callable[[Mapping[str, Any]], Trial], space: Space, spec: FunctionSpec, options: SweepOptions, *, home: Path
) -> list[Trial]:
    """Runs `trial` for each setting of the space, each as a Tune trial with what the function asks for."""
    if not ray.is_initialized():
        ray_cluster.connect(Settings.from_env())
    check_fits(spec)
    given, samples = tune_space(space, options.samples)
    os.environ.setdefault("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")

    def trainable(config: dict[str, Any]) -> None:
        tune.report({"found": trial(config.get(_WHOLE, config))})

    needs = spec.resources
    bundle = {"cpu": needs.cpus, "gpu": needs.gpu, "memory": needs.memory_bytes, **needs.custom}
    with travelling(local_modules(trial)), quiet():
        tuner = tune.Tuner(
            tune.with_resources(trainable, {name: amount for name, amount in bundle.items() if amount}),
            param_space=given,
            tune_config=tune.TuneConfig(
                num_samples=samples,
                reuse_actors=True,  # a worker loads MLflow once, not once a trial
                max_concurrent_trials=options.at_once or spec.concurrency,
                search_alg=tune.search.BasicVariantGenerator(random_state=options.seed),
            ),
            run_config=tune.RunConfig(storage_path=str(home / "tune"), name=spec.name, verbose=0),
        )
        with _own_interrupts():
            results = tuner.fit()
    return [_trial(results[place]) for place in range(len(results))]


@contextmanager
def _own_interrupts() -> Iterator[None]:
    """Tune takes Ctrl-C and keeps it: a sweep came back half done, and after one the first Ctrl-C went unheard.

    Here Tune ends its trials in good order; then the interrupt goes on, and the handlers are the caller's again.
    """
    if (
        threading.current_thread() is not threading.main_thread()
        or os.environ.get("TUNE_DISABLE_SIGINT_HANDLER") == "1"
    ):
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGUSR1)}
    try:
        yield
        if signal.getsignal(signal.SIGINT) is before[signal.SIGINT]:  # Tune's own gives way once it was asked
            raise KeyboardInterrupt
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def tune_space(space: Space, samples: int) -> tuple[dict[str, Any], int]:
    """Tune's own words; without a range the whole grid is tried once."""
    if not isinstance(space, Mapping):
        return {_WHOLE: tune.grid_search([dict(setting) for setting in space])}, 1
    has_range = any(isinstance(values, tuple) for values in space.values())
    return {name: _domain(values, has_range) for name, values in space.items()}, samples if has_range else 1


def _domain(values: Any, drawn: bool) -> Any:
    if isinstance(values, list):
        return tune.choice(values) if drawn else tune.grid_search(values)
    low, high, *log = values
    if isinstance(low, int) and isinstance(high, int):
        return tune.lograndint(low, high + 1) if log else tune.randint(low, high + 1)
    return tune.loguniform(low, high) if log else tune.uniform(low, high)


def _trial(result: Any) -> Trial:
    if result.error is not None:
        config = result.config.get(_WHOLE, result.config)
        return Trial(config, float("nan"), error=f"its worker was lost: {str(result.error).splitlines()[0]}")
    found: Trial = result.metrics["found"]
    return found
