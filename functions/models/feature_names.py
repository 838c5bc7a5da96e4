"""What the features of someone else's model are called, and what is said where its scores cannot be explained."""

from __future__ import annotations

from collections.abc import Sequence

from ...runtime.errors import DefinitionError, InputError


def feature_names(
    model: str, known: Sequence[str] | None, *, given: Sequence[str], count: int | None
) -> tuple[str, ...]:
    """The names that the model knows, or else those `given` for its `count` features; raises `DefinitionError`."""
    names = tuple(map(str, known or ()))
    if names and given and names != tuple(given):
        raise DefinitionError(f"{model} knows its features: {listed(names)}; leave features= out")
    names = names or tuple(given)
    if not names:
        raise DefinitionError(
            f"{model} does not know what its features are called: name them, in order, with features="
        )
    if count is not None and len(names) != count:
        raise DefinitionError(f"{model} takes {count} features, but features= has {len(names)}: {listed(names)}")
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise DefinitionError(f"{model} cannot have two features called {listed(twice)}; give each a name of its own")
    return names


def listed(names: Sequence[str]) -> str:
    """The first eight of the names."""
    return ", ".join(map(repr, names[:8])) + (", ..." if len(names) > 8 else "")


def unexplained(model: str, classes: bool) -> InputError:
    """The error for a model whose scores do not come apart into one part a feature."""
    if classes:
        return InputError(f"{model} scores several classes; contributions are given for models of one score")
    return InputError(
        f"{model} gives no exact contributions, as boosted trees and linear models do; a graph samples them with "
        "predict(..., background=rows)"
    )
