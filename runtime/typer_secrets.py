"""`eagleray secret`: the secrets of this home, by name; a value is never shown."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from . import secret_store
from .errors import InputError, StorageError
from .rich_output import show_rows
from .secret import Secret
from .settings import Settings
from .typer_options import AsJson

app = typer.Typer(no_args_is_help=True, help="The secrets of this home (EAGLERAY_HOME).")
Name = Annotated[str, typer.Argument(help="For instance hf-token.")]


@app.command("set")
def set_secret(
    name: Name,
    file: Annotated[Path | None, typer.Option(help="Read the value from this file.")] = None,
) -> None:
    """Set a secret: its value is asked for, or read from standard input or --file; never from the command line.

    It is kept unencrypted in a file that only you (and root) may read.
    """
    Secret(name)  # raises where the name is none
    secret_store.put(Settings.from_env().home, name, _value(file))
    print(f"secret {name} is set")


@app.command("list")
def list_secrets(as_json: AsJson = False) -> None:
    """List the names."""
    found = secret_store.names(Settings.from_env().home)
    rows = [{"name": name, "variable": Secret(name).env} for name in found]
    show_rows(rows, as_json=as_json, empty="no secret yet: `eagleray secret set NAME` sets one")


@app.command()
def delete(name: Name) -> None:
    """Remove a secret."""
    secret_store.delete(Settings.from_env().home, name)
    print(f"secret {name} is gone")


def _value(file: Path | None) -> str:
    if file is not None:
        try:
            return file.read_text().rstrip("\n")
        except OSError as error:
            raise StorageError(f"cannot read {file} ({error.strerror}): name a file with the value") from None
    if sys.stdin.isatty():
        found: str = typer.prompt("value", hide_input=True)
        return found
    text = sys.stdin.read().rstrip("\n")
    if not text:
        raise InputError("no value on standard input: pipe it in, or use --file")
    return text
