"""`eagleray run FILE:FN --x 1`: a function's tracked run from the shell, its flags read from its signature."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..runtime.errors import EaglerayError
from ..runtime.rich_output import show_one

if TYPE_CHECKING:
    from .function import Function
    from .pydantic_signature import Signature

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
    from .recording import user_frames

    call = called(target, context.args, as_json=as_json)
    found, signature = call.function, call.signature
    chosen: dict[str, Any] = {key: value for key, value in {"experiment": experiment, "name": name}.items() if value}
    runs = found.tracked(on=on, **chosen)  # type: ignore[arg-type] # checked there
    try:
        done = runs.run(*call.args, **call.kwargs)
    except EaglerayError:
        raise
    except Exception as error:  # noqa: BLE001 - the user's own, shown with the user's own frames
        print(user_frames(error), end="", file=sys.stderr)
        raise typer.Exit(1) from None
    try:
        value: Any = json.loads(signature.dump_json(done.value))
    except (ValueError, TypeError):
        value = repr(done.value)
    shown = {
        "run": done.id, "status": done.status, "duration_s": round(done.duration_s, 3), "params": dict(done.params),
        "metrics": dict(done.metrics), "value": value,
    }  # fmt: skip
    show_one(shown, as_json=call.as_json)


@dataclass(frozen=True, slots=True)
class Call:
    """A function and its arguments, as a command line names them."""

    function: Function[..., Any]
    signature: Signature
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    as_json: bool


def called(target: str, given: Sequence[str], *, as_json: bool) -> Call:
    """The call that FILE:FN and its flags ask for; ends the command for `--help` (0) and for wrong flags (2)."""
    from .flags import FlagError, parsed, usage
    from .loading import load
    from .pydantic_signature import Signature

    found = load(target)
    signature = Signature.of(found)
    words = list(given)
    if "--help" in words:
        print(usage(signature, found.__doc__))
        raise typer.Exit
    if "--json" in words and "json" not in {one.name for one in signature.parameters}:
        words.remove("--json")
        as_json = True
    try:
        args, kwargs = parsed(signature, words)
    except FlagError as error:
        print(f"eagleray: {error}", file=sys.stderr)
        raise typer.Exit(2) from None
    return Call(found, signature, args, kwargs, as_json)
