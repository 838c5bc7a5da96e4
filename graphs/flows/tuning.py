"""What of a graph may change while it is served: the shares of a router, and the settings of steps.

A function's settings are its keyword-only parameters with defaults (`def limits(body, *, most=1000)`); those of a class
are what its `configure(...)` takes.
"""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from ...runtime.errors import InputError, did_you_mean
from .choices import Weighted
from .step import Step, walk
from .subjects import made

Settings = Mapping[str, Any]
"""Plain JSON values by name; of a router, shares by way."""
Change = Callable[[Settings], None]
_KINDS = ("check", "call", "filter", "flatten", "map", "branch", "tap")


def settings_of(step: Step) -> dict[str, Any] | None:
    """A step's settings as they were declared (None for one without a default); None where it has none to change."""
    subject = step.subject
    if isinstance(subject, Weighted):
        return dict(subject.weights)
    if step.kind not in _KINDS or step.options.cache is not None:  # what is cached was made with the old ones
        return None
    cls = getattr(subject, "cls", subject if isinstance(subject, type) else type(subject))
    configure = getattr(cls, "configure", None)
    if inspect.isfunction(configure):
        parameters = list(inspect.signature(configure).parameters.values())[1:]
        return {one.name: None if one.default is one.empty else one.default for one in parameters}
    if inspect.isfunction(subject) and subject.__kwdefaults__:
        return dict(subject.__kwdefaults__)
    return None


def merged(steps: Sequence[Step], known: Mapping[str, Settings], given: Mapping[str, Settings]) -> dict[str, Any]:
    """The settings by step after an update: shares replace those before, other settings are changed one by one.

    Raises `InputError` for a step, a way or a setting that is not there, and for shares that are none.
    """
    declared = {step.name: (step, found) for step in walk(steps) if (found := settings_of(step)) is not None}
    total: dict[str, Any] = {name: dict(settings) for name, settings in known.items()}
    for name, settings in given.items():
        if name not in declared:
            raise InputError(f"no step {name!r} whose settings can change{did_you_mean(name, declared)}")
        step, possible = declared[name]
        for setting in settings:
            if setting not in possible:
                raise InputError(f"{name} has no setting {setting!r}{did_you_mean(setting, possible)}")
        if isinstance(step.subject, Weighted):
            Weighted.of(settings)
            total[name] = dict(settings)
        else:
            total[name] = {**total.get(name, {}), **settings}
    return total


def tunable(step: Step) -> tuple[Step, Change | None]:
    """The step with a subject of its own, and what changes that; None where there is nothing to change.

    Settings that are not given go back to what was declared.
    """
    declared = settings_of(step)
    if declared is None or isinstance(step.subject, Weighted):
        return step, None
    if inspect.isfunction(step.subject):
        twin = _twin(step.subject)

        def change_defaults(settings: Settings) -> None:
            twin.__kwdefaults__ = {**declared, **settings}

        return replace(step, subject=twin), change_defaults
    called = made(step.subject)
    owner = getattr(called, "__self__", called)

    def configure(settings: Settings) -> None:
        told = {name: value for name, value in declared.items() if value is not None} | dict(settings)
        if told:
            owner.configure(**told)

    return replace(step, subject=called if called is not owner else called.__call__), configure


def apply(changes: Mapping[str, Change], live: Mapping[str, Settings] | None) -> None:
    """Changes the steps to their `live` settings, by name."""
    for name, change in changes.items():
        change((live or {}).get(name, {}))


def _twin(function: types.FunctionType) -> types.FunctionType:
    """The function again, with defaults that nobody else shares."""
    twin = types.FunctionType(
        function.__code__, function.__globals__, function.__name__, function.__defaults__, function.__closure__
    )
    twin.__kwdefaults__ = dict(function.__kwdefaults__ or {})
    twin.__annotations__, twin.__dict__ = function.__annotations__, dict(function.__dict__)
    twin.__qualname__, twin.__module__ = function.__qualname__, function.__module__
    return twin
