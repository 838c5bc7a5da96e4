"""One function over many settings: which are tried, and what they came to. `ray_tune_trials` runs them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from ...runtime.errors import DefinitionError, InputError, did_you_mean
from .run import Run
from .sweep_options import VALUE, Space, SweepOptions, Trial
from .tracked import Tracked
from .tracking import run_store

if TYPE_CHECKING:
    import polars as pl


@dataclass(frozen=True, slots=True)
class Sweep:
    """A finished sweep: the trials, the best first, failures last; `run_id` is the run that theirs are part of."""

    run_id: str
    metric: str
    trials: tuple[Trial, ...] = field(repr=False)

    @property
    def best(self) -> Trial:
        """The trial with the best measure."""
        return self.trials[0]

    @property
    def table(self) -> pl.DataFrame:
        """A row a trial: its settings, the measure, the run and the error."""
        import polars as pl

        rows = [{**one.config, self.metric: one.measure, "run": one.run_id, "error": one.error} for one in self.trials]
        return pl.DataFrame(rows, infer_schema_length=None, strict=False)

    def _repr_html_(self) -> str:
        return str(self.table._repr_html_())


def sweep(tracked: Tracked[Any, Any], space: Space, options: SweepOptions) -> Sweep:
    """Runs the function for each setting as a tracked run of its own, on Ray, all part of one.

    A failed trial is one of the results. Raises `DefinitionError` for a space that cannot be read, `InputError` when no
    trial gave a number.
    """
    check(space, tracked)
    runs = run_store(tracked.settings)
    about = {"metric": options.metric, "mode": options.mode, "space": repr(space)[:500]}
    parent = replace(tracked.opening, name=f"{tracked.opening.name} sweep", params=about)
    run_id = runs.open(parent)
    try:
        runs.write(run_id, parent)
        part = replace(tracked, on="here", opening=replace(tracked.opening, parent=run_id))

        from .ray_tune_trials import run_trials

        trials = run_trials(measured(part, options.metric), space, tracked.spec, options, home=tracked.settings.home)
        sign = -1.0 if options.mode == "max" else 1.0
        ordered = sorted(trials, key=lambda one: (math.isnan(one.measure), sign * one.measure))
        if math.isnan(ordered[0].measure):
            raise InputError(f"{tracked.spec.name}: none of {len(ordered)} trials gave a number: {ordered[0].error}")
        best = {f"best.{name}": str(value) for name, value in ordered[0].config.items()}
        runs.write(run_id, Run(parent.experiment, params=best, metrics={f"best.{options.metric}": ordered[0].measure}))
    except BaseException as error:
        runs.end(run_id, "FAILED" if isinstance(error, Exception) else "KILLED")
        raise
    runs.end(run_id, "FINISHED")
    return Sweep(run_id, options.metric, tuple(ordered))


def measured(tracked: Tracked[Any, Any], metric: str) -> Callable[[Mapping[str, Any]], Trial]:
    """What a worker does for one setting; an error of the function's is part of what comes back."""

    def trial(config: Mapping[str, Any]) -> Trial:
        try:
            done = tracked.run(**config)
        except Exception as error:  # noqa: BLE001 - the user's own; the other trials go on
            return Trial(config, math.nan, error=f"{type(error).__name__}: {error}")
        found = done.value if metric == VALUE else done.metrics.get(metric)
        if isinstance(found, bool) or not isinstance(found, int | float):
            known = did_you_mean(metric, [VALUE, *done.metrics])
            return Trial(config, math.nan, done.id, f"no number {metric!r}{known}")
        return Trial(config, float(found), done.id)

    return trial


def check(space: Space, tracked: Tracked[Any, Any]) -> None:
    """Raises `DefinitionError` for an argument nobody takes, or a value that is neither list nor range."""
    from ..calls.pydantic_signature import Signature

    signature = Signature.of(tracked.fn)
    known = [one.name for one in signature.parameters]
    settings = [space] if isinstance(space, Mapping) else list(space)
    if not settings or not all(settings):
        raise DefinitionError(f"{tracked.spec.name}.sweep: the space is empty: name arguments and their values")
    for setting in settings:
        for name, values in setting.items():
            if name not in known and not signature.takes_any_name:
                raise DefinitionError(f"{tracked.spec.name} takes no {name!r}{did_you_mean(name, known)}")
            if isinstance(space, Mapping) and not _is_values(values):
                raise DefinitionError(
                    f"{tracked.spec.name}.sweep: {name}={values!r}; give a list of values, or a range (low, high) or "
                    '(low, high, "log")'
                )


def _is_values(values: Any) -> bool:
    if isinstance(values, list):
        return bool(values)
    if not isinstance(values, tuple) or len(values) not in (2, 3) or (len(values) == 3 and values[2] != "log"):
        return False
    low, high = values[:2]
    return (
        isinstance(low, int | float) and isinstance(high, int | float) and low < high and (len(values) == 2 or low > 0)
    )
