"""FLAML's CFO as a proposer: a cost-frugal local search from a good starting point (Wu et al. 2021).

Only its ask and its tell are used; training, parallelism and time are ours.
"""

from __future__ import annotations

import builtins
import importlib
import importlib.machinery
import logging
import sys
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any

import numpy as np

from .learner import Choice, Config, Domain, LogInteger, LogUniform, Space, Uniform
from .search import Proposer, ProposerFactory

_TRIES = 8  # asks in a row before a None is passed on: most are repeats, not the end
_PACKAGES = ("flaml", "flaml.tune", "flaml.tune.searcher")


def factory() -> ProposerFactory:
    """Loads FLAML's searcher and gives a factory of proposers."""
    blendsearch, tune = _searcher_alone()
    logging.getLogger("flaml").setLevel(logging.WARNING)

    def domain(one: Domain) -> Any:
        match one:
            case Uniform(low, high):
                return tune.uniform(low, high)
            case LogUniform(low, high):
                return tune.loguniform(low, high)
            case LogInteger(low, high):
                return tune.lograndint(low, high + 1)
            case Choice(values):
                return tune.choice(list(values))

    def make(space: Space, start: Config, loss: float | None, seed: int) -> Proposer:
        cfo = blendsearch.CFO(
            metric="loss",
            mode="min",
            space={name: domain(one) for name, one in space.items()},
            low_cost_partial_config=dict(start),
            points_to_evaluate=[dict(start)],
            evaluated_rewards=None if loss is None else [loss],
            seed=seed % 2**31,
        )
        return CfoProposer(cfo)

    return make


class CfoProposer:
    """One CFO search; numbers become its trial ids."""

    def __init__(self, cfo: Any) -> None:
        self._cfo = cfo
        self._running: dict[int, tuple[str, Config]] = {}

    def ask(self, number: int) -> Config | None:
        """The next configuration that has not been tried, or None."""
        for attempt in range(_TRIES):
            trial_id = f"{number}.{attempt}"
            suggested = self._cfo.suggest(trial_id)
            if suggested:
                config = {name: _plain(value) for name, value in suggested.items()}
                self._running[number] = (trial_id, config)
                return config
        return None

    def tell(self, number: int, loss: float | None) -> None:
        """What an asked configuration came to; None where it failed."""
        trial_id, config = self._running.pop(number)
        if loss is None:
            self._cfo.on_trial_complete(trial_id, None, error=True)
        else:
            self._cfo.on_trial_complete(trial_id, {"loss": loss, "config": dict(config)})


class _SearcherOnly:
    """Finds FLAML's modules, with the packages around its searcher left empty and Ray out of sight.

    `import flaml` loads scikit-learn, MLflow, pandas and Ray Tune: 12 s for a search that needs numpy.
    """

    class Loader(importlib.machinery.SourceFileLoader):
        def exec_module(self, module: ModuleType) -> None:
            if module.__name__ not in _PACKAGES:
                # The searcher falls back on its own classes where Ray's cannot be imported. Only its own
                # imports see that: other threads go on using Ray.
                module.__dict__["__builtins__"] = {**vars(builtins), "__import__": _without_ray}
                super().exec_module(module)

    @classmethod
    def find_spec(
        cls, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if name.partition(".")[0] != "flaml":
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        if spec is not None and isinstance(spec.loader, importlib.machinery.SourceFileLoader):
            spec.loader = cls.Loader(spec.loader.name, spec.loader.path)
        return spec


def _without_ray(
    name: str,
    globals: Mapping[str, object] | None = None,  # noqa: A002 - the names of __import__
    locals: Mapping[str, object] | None = None,  # noqa: A002
    fromlist: Sequence[str] = (),
    level: int = 0,
) -> ModuleType:
    if level == 0 and name.partition(".")[0] in ("ray", "optuna", "nni"):
        raise ImportError(name)
    return builtins.__import__(name, globals, locals, fromlist, level)


def _searcher_alone() -> tuple[Any, Any]:
    """FLAML's modules `tune.searcher.blendsearch` and `tune.sample`; `import flaml` stays as it was."""
    if "flaml" in sys.modules:
        return importlib.import_module("flaml.tune.searcher.blendsearch"), importlib.import_module("flaml.tune")
    sys.meta_path.insert(0, _SearcherOnly)
    try:
        tune: Any = importlib.import_module("flaml.tune")
        tune.INCUMBENT_RESULT = "__incumbent_result__"  # what its own __init__ would have set
        sample = importlib.import_module("flaml.tune.sample")
        return importlib.import_module("flaml.tune.searcher.blendsearch"), sample
    finally:
        sys.meta_path.remove(_SearcherOnly)
        for name in [name for name in list(sys.modules) if name.partition(".")[0] == "flaml"]:
            del sys.modules[name]


def _plain(value: Any) -> float | int:
    number: float | int = value.item() if isinstance(value, np.generic) else value
    return number
