"""`eagleray run FILE:FN --x 1`: a function's tracked run from the shell, its flags read from its signature."""

from __future__ import annotations

import json
import sys
from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..runtime.errors import EaglerayError, InputError
from ..runtime.rich_output import show_one

if TYPE_CHECKING:
    from .calls.pydantic_signature import Signature
    from .function import Function

# The function's flags are its own: what follows FILE:FN is handed on as it is.
HANDED_ON = {"allow_interspersed_args": False, "ignore_unknown_options": True, "allow_extra_args": True}
Target = Annotated[
    str, typer.Argument(metavar="FILE:FN", help="For instance train.py:fit; --help after it: its flags.")
]


def run(
    context: typer.Context,
    target: Target,
    experiment: Annotated[str, typer.Option(help="Default: the function's name.")] = "",
    name: Annotated[str, typer.Option(help="Of the run. Default: the function's name.")] = "",
    on: Annotated[str, typer.Option(help='"here", or "ray" for a task with what the function asks for.')] = "here",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Run a function as a tracked run: eagleray run [OPTIONS] FILE:FN [its own flags]."""
    from .runs.recording import user_frames

    call = called(context, target, experiment=experiment, name=name, on=on, as_json=as_json)
    found, signature = call.function, call.signature
    chosen: dict[str, Any] = {key: call.own[key] for key in ("experiment", "name") if call.own[key]}
    runs = found.tracked(on=call.own["on"], **chosen)
    try:
        done = runs.run(*call.args, **call.kwargs)
    except EaglerayError:
        raise
    except Exception as error:  # noqa: BLE001 - the user's own, shown with the user's own frames
        print(user_frames(error), end="", file=sys.stderr)
        raise typer.Exit(1) from None
    try:
        value: Any = json.loads(signature.dump_json(done.value))
    except (InputError, ValueError, TypeError):  # what JSON cannot hold
        value = repr(done.value)
    shown = {
        "run": done.id, "status": done.status, "duration_s": round(done.duration_s, 3), "params": dict(done.params),
        "metrics": dict(done.metrics), "value": value,
    }  # fmt: skip
    show_one(shown, as_json=call.own["as_json"])


@dataclass(frozen=True, slots=True)
class Call:
    """A function and its arguments, as a command line names them; `own` are the command's own options by name."""

    function: Function[..., Any]
    signature: Signature
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    own: dict[str, Any]


def called(context: typer.Context, target: str, **own: Any) -> Call:
    """The call that FILE:FN and its flags ask for; ends the command for `--help` (0) and for wrong flags (2).

    `own`, the command's options, count behind FILE:FN too, unless the function has an argument of that name.
    """
    from .calls.flags import FlagError, parsed, usage
    from .calls.pydantic_signature import Signature
    from .loading import load

    found = load(target)
    signature = Signature.of(found)
    if "--help" in context.args:
        print(usage(signature, found.__doc__))
        raise typer.Exit
    words, late = belated(context, {one.name for one in signature.parameters})
    try:
        args, kwargs = parsed(signature, words)
    except FlagError as error:
        print(f"eagleray: {error}", file=sys.stderr)
        raise typer.Exit(2) from None
    for name, value in late.items():
        own[name] = [*own[name], *value] if isinstance(value, list) else value
    return Call(found, signature, args, kwargs, own)


def belated(context: typer.Context, taken: Collection[str]) -> tuple[list[str], dict[str, Any]]:
    """The words behind FILE:FN that are the function's, and the command's options that are among them.

    `taken` are names that are the function's; so is all behind `--`.
    """
    options: dict[str, Any] = {
        flag: one for one in context.command.params if one.param_type_name == "option" for flag in one.opts
    }
    left, words, own = list(context.args), list[str](), dict[str, Any]()
    while left:
        word = left.pop(0)
        if word == "--":
            words += left
            break
        flag, equals, text = word.partition("=")
        option = options.get(flag)
        if option is None or flag[2:].replace("-", "_") in taken:
            words.append(word)
        elif option.is_flag:
            own[option.name] = True
        elif not equals and not left:
            raise typer.BadParameter(f"{flag} takes a value")
        else:
            text = text if equals else left.pop(0)
            value = option.process_value(context, (text,) if option.multiple else text)
            own[option.name] = [*own.get(option.name, []), *value] if option.multiple else value
    return words, own
