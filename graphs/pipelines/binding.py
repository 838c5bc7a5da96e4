"""A function's call as a node: its arguments bound to its signature and checked where it is written."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

from ...functions.calls.spec import FunctionSpec
from ...functions.function import Function, function
from ...runtime.errors import DefinitionError, did_you_mean
from ...runtime.retries import Retries
from .declared import Named
from .hints import fits, hints_of, item_of, named
from .node import Source
from .reference import Reference, hint_of, source_of


@dataclass(frozen=True, slots=True)
class Bound:
    """Where a call's arguments come from: by place with the names of their parameters, and by name."""

    args: tuple[Source, ...]
    labels: tuple[str, ...]
    kwargs: tuple[tuple[str, Source], ...]


def as_function(fn: Callable[..., Any] | Function[..., Any], name: str | None) -> Function[..., Any]:
    """A plain function as `@function` makes it; raises `DefinitionError` for what is none."""
    if isinstance(fn, Function):
        return fn
    if isinstance(fn, Reference):
        raise DefinitionError(f"{fn.label} stands where a function is wanted: p.step(fn, {fn.label})")
    made: Function[..., Any] = function(fn)
    if made.spec.name == "<lambda>" and name is None:
        raise DefinitionError("a lambda has no name: give name=, or write a function")
    return made


def spec_of(found: Function[..., Any], name: str, retries: int | Retries | None) -> FunctionSpec:
    """What a step asks for. A step's own `retries` are for any error, unless they name some."""
    if retries is None:
        return found.spec.changed({"name": name})
    wanted = retries if isinstance(retries, Retries) else Retries(retries)
    if not wanted.on:
        wanted = Retries(wanted.attempts, (Exception,), wanted.backoff_s, wanted.factor, wanted.max_backoff_s)
    return found.spec.changed({"name": name, "retries": wanted})


def bound(
    pipeline: Named,
    name: str,
    found: Function[..., Any],
    given: tuple[Sequence[object], Mapping[str, object]],
    *,
    over: object = None,
) -> Bound:
    """The call's arguments; with `over` the first one is an item of it.

    Raises `DefinitionError` for missing, unknown and ill-typed arguments and for what another pipeline owns.
    """
    signature = inspect.signature(found)
    args, kwargs = given
    item: tuple[object, ...] = () if over is None else (_Item(over),)
    try:
        call = signature.bind(*item, *args, **kwargs)
    except TypeError as error:
        raise DefinitionError(f"{pipeline.name}: {name}: {_cure(str(error), signature, kwargs)}") from None
    _check_types(pipeline, name, found, call)
    labels = [label for label, _ in _placed(call)][len(item) :]
    sources = [source_of(one, pipeline, f"{name}: {label}") for label, one in _placed(call) if type(one) is not _Item]
    named_ones = tuple((key, source_of(one, pipeline, f"{name}: {key}")) for key, one in call.kwargs.items())
    return Bound(tuple(sources), tuple(labels), named_ones)


def result_hint(found: Function[..., Any]) -> Any:
    """The type of a step's output: of a generator function the list of what it yields."""
    hint = hints_of(found.callable).get("return", Any)
    called = inspect.unwrap(getattr(found.callable, "called", found.callable))
    if inspect.isgeneratorfunction(called) or inspect.isasyncgenfunction(called):
        inner = get_args(hint)
        return list.__class_getitem__(inner[0] if inner else Any)
    return hint


class _Item:
    """The place of a map's item."""

    def __init__(self, over: object) -> None:
        self.hint = item_of(hint_of(over), over.label if isinstance(over, Reference) else "over")


def _placed(call: inspect.BoundArguments) -> list[tuple[str, object]]:
    """The arguments given by place, each with its parameter's name."""
    labels: list[str] = []
    for name, value in call.arguments.items():
        kind = call.signature.parameters[name].kind
        if kind is inspect.Parameter.VAR_POSITIONAL:
            labels += [f"{name}[{place}]" for place in range(len(value))]
        elif kind in (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD):
            labels.append(name)
    return list(zip(labels, call.args, strict=False))


def _check_types(pipeline: Named, name: str, found: Function[..., Any], call: inspect.BoundArguments) -> None:
    hints = hints_of(found.callable)
    for label, value in [*_placed(call), *call.kwargs.items()]:
        wanted = hints.get(label.partition("[")[0], Any)
        hint = value.hint if isinstance(value, _Item) else hint_of(value)
        if fits(hint, wanted):
            continue
        what = (
            f"{value.label} is" if isinstance(value, Reference) else "an item is" if type(value) is _Item else "it is"
        )
        raise DefinitionError(
            f"{pipeline.name}: {name} takes {label} as {named(wanted)}, and {what} {named(hint)}: "
            "put a step between them, or correct a hint"
        )


def _cure(text: str, signature: inspect.Signature, kwargs: Mapping[str, object]) -> str:
    """What `bind` says, with the nearest name and what there is."""
    known = [name for name, one in signature.parameters.items() if one.kind is not inspect.Parameter.VAR_KEYWORD]
    takes = f"it takes {', '.join(known)}" if known else "it takes no arguments"
    unknown = [name for name in kwargs if name not in known]
    if unknown and not any(one.kind is inspect.Parameter.VAR_KEYWORD for one in signature.parameters.values()):
        return f"no argument {unknown[0]!r}{did_you_mean(unknown[0], known)}"
    if "missing" in text:
        return f"{text}: give it a value, a parameter or a step's output ({takes})"
    return f"{text}: {takes}"
