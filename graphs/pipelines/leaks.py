"""Keeps the values of secrets out of what a pipeline stores: inputs, outputs and errors."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from ...runtime.errors import InputError, NotFoundError
from ...runtime.secret import Reveal, Secret, masked, value_of
from .contents import encoded
from .node import Built, Constant, Node, Source

_SHORTEST = 4  # as in `masked`: fewer characters stand in ordinary words


def check_inputs(nodes: Iterable[Node], parameters: dict[str, object], home: Path) -> None:
    """Raises `InputError` where a parameter or a constant holds the value of a secret that a step asks for."""
    nodes = list(nodes)
    values = {}
    for secret in {secret for node in nodes for secret in node.spec.secrets}:
        try:
            values[secret] = value_of(secret, home)
        except NotFoundError:  # the machine that runs the step has it
            continue
    if not values:
        return
    inputs = [(f"parameter {name!r}", value) for name, value in parameters.items()]
    for node in nodes:
        inputs += [(f"{node.name}: {name}", value) for name, one in node.named for value in _constants(one)]
    for what, value in inputs:
        for secret, text in values.items():
            _refuse(value, secret, text, f"{what} holds")


def guarded(fn: Callable[..., Any], secrets: Sequence[Secret], home: Path) -> Callable[..., Any]:
    """The function, its secrets open around it: an output that holds one is refused, an error's text is masked."""
    if not secrets:
        return fn
    reveal = Reveal(tuple(secrets), home)

    def call(*args: Any, **kwargs: Any) -> Any:
        with reveal():
            try:
                value = fn(*args, **kwargs)
                for secret in secrets:
                    _refuse(value, secret, value_of(secret, home), "its output holds")
            except Exception as error:
                _mask(error)
                raise
            return value

    return call


def _constants(source: Source) -> Iterator[object]:
    if isinstance(source, Constant):
        yield source.value
    elif isinstance(source, Built):
        for part in source.parts:
            yield from _constants(part)


def _refuse(value: object, secret: Secret, text: str, what: str) -> None:
    if value is None or len(text) < _SHORTEST:
        return
    data = bytes(encoded(value)[1])
    if text.encode() in data or repr(text)[1:-1].encode() in data:
        raise InputError(
            f"{what} the value of secret {secret.name!r}, which would be stored: name the secret in "
            "@function(secrets=[...]) of each step that needs it, and neither pass nor return it"
        )


def _mask(error: BaseException) -> None:
    """Takes the secrets out of an error and of those that led to it."""
    seen: set[int] = set()
    left: list[BaseException | None] = [error]
    while left:
        one = left.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        one.args = tuple(masked(part) if isinstance(part, str) else part for part in one.args)
        if masked(str(one)) != str(one):
            one.args = (masked(str(one)),)
        left += [one.__cause__, one.__context__]
