"""`eagleray test FILE:GRAPH BODY` and `eagleray graph plot`: graphs in this process, with no server."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..runtime.errors import EaglerayError, InputError
from ..runtime.rich_output import show_json

if TYPE_CHECKING:
    from .graph import Graph

app = typer.Typer(help="Serving graphs.", no_args_is_help=True)
Target = Annotated[str, typer.Argument(metavar="FILE:GRAPH", help="For instance app.py:fraud, a graph or a function.")]
Body = Annotated[
    str, typer.Argument(metavar="[BODY]", help="JSON, @FILE, or - for the standard input; a list is several requests.")
]


def test(target: Target, body: Body = "{}") -> None:  # noqa: PT028 - a command, not a test of pytest's
    """Answer a request in this process: no Ray, no server; the answer is printed as JSON."""
    from ..functions.loading import load, load_deployable
    from ..functions.runs.recording import user_frames
    from .graph import Graph

    found = load_deployable(target)
    data = _parsed(body)
    try:
        if isinstance(found, Graph):
            show_json(found.test(data))
            return
        from ..functions.calls.pydantic_signature import Signature

        function = load(target)
        signature = Signature.of(function.callable)
        args, kwargs = signature.parse_json(json.dumps(data).encode())
        print(signature.dump_json(function(*args, **kwargs)).decode())
    except EaglerayError:
        raise
    except Exception as error:  # noqa: BLE001 - the user's own, shown with the user's own frames
        print(user_frames(error), end="", file=sys.stderr)
        raise typer.Exit(1) from None


@app.command()
def plot(
    target: Target,
    output: Annotated[Path, typer.Option("--output", "-o", help="The file to write.")] = Path("graph.svg"),
) -> None:
    """Draw a graph as SVG."""
    print(_graph(target).plot().save(output))


@app.command()
def plan(target: Target) -> None:
    """Print which steps run where when it is deployed, and why."""
    print(_graph(target).plan())


def _graph(target: str) -> Graph:
    from ..functions.loading import load_deployable
    from .graph import Graph

    found = load_deployable(target)
    if not isinstance(found, Graph):
        raise InputError(f"{target} is no graph: name a variable that holds a Graph")
    return found


def _parsed(body: str) -> Any:
    try:
        text = sys.stdin.read() if body == "-" else Path(body[1:]).read_text() if body.startswith("@") else body
    except OSError as error:
        raise InputError(f"cannot read {body[1:]} ({error.strerror}): give JSON, @FILE, or - for the input") from None
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise InputError(f"the body is no JSON ({error}): quote it, for instance '{{\"x\": 1}}'") from None
