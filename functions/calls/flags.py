"""A function's arguments as flags of a command line: `--max-depth 3`, `--verbose`, `--no-verbose`, `--x=1`."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

from ...runtime.errors import InputError, did_you_mean
from .pydantic_signature import Arguments, Parameter, Signature


class FlagError(InputError):
    """The command line does not fit the function."""


def parsed(signature: Signature, words: Sequence[str]) -> Arguments:
    """Arguments from the words after the function's name; raises `FlagError`."""
    flags = flags_of(signature, words)
    try:
        return signature.parse_texts(flags)
    except InputError as error:
        raise FlagError(str(error)) from None


def flags_of(signature: Signature, words: Sequence[str]) -> dict[str, list[str]]:
    """The texts given to each argument; a flag without a text is true, `--no-x` false."""
    known = {one.name: one for one in signature.parameters}
    found: dict[str, list[str]] = {}
    left = list(words)
    while left:
        word = left.pop(0)
        if not word.startswith("--") or len(word) < 3:
            raise FlagError(f"{signature.name}: {word!r} stands alone: arguments have names, for instance --x {word}")
        flag, equals, text = word[2:].partition("=")
        name = flag.replace("-", "_")
        if name not in known and name.startswith("no_") and name[3:] in known:
            found[name[3:]] = ["false"]
            continue
        if name not in known and not signature.takes_more:
            near = did_you_mean(flag, [one.replace("_", "-") for one in known])
            raise FlagError(f"{signature.name} has no flag --{flag}{near}")
        if equals:
            found.setdefault(name, []).append(text)
        elif left and not _is_flag(left[0]):
            found.setdefault(name, []).append(left.pop(0))
        else:
            found[name] = ["true"]
    return found


def usage(signature: Signature, about: str | None) -> str:
    """What `--help` prints: the first paragraph of the docstring, and a line an argument."""
    lines = [line for line in (signature.name, (inspect.cleandoc(about or "").split("\n\n")[0])) if line]
    rows = [(f"--{one.name.replace('_', '-')}", _hint(one), _default(one)) for one in signature.parameters]
    wide = max((len(flag) for flag, _, _ in rows), default=0)
    typed = max((len(hint) for _, hint, _ in rows), default=0)
    return "\n".join(
        [*lines, "", *(f"  {flag:<{wide}}  {hint:<{typed}}  {rest}".rstrip() for flag, hint, rest in rows)]
    )


def _is_flag(word: str) -> bool:
    """`-1` is a number, `--x` a flag."""
    return word.startswith("--") and len(word) > 2


def _hint(one: Parameter) -> str:
    hint: Any = one.hint
    return (
        "any" if hint is Any else getattr(hint, "__name__", str(hint)) if not hasattr(hint, "__args__") else str(hint)
    )


def _default(one: Parameter) -> str:
    return "required" if one.required else f"default: {one.default!r}"
