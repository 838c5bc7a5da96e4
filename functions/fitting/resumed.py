"""Where a search that may be resumed keeps its journal, and what makes two calls the same search."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import fields

import numpy as np

from ...runtime.errors import InputError
from ...runtime.settings import Settings
from ..training.journal import Journal
from ..training.learner import Fold
from .automl_options import AutoMLOptions

# What does not change which trials are made, or is a matter of the machine.
_ASIDE = {
    "resume", "settings", "on_trial", "progress", "workers", "track",
    "experiment", "model_name", "feature_vector", "attachments", "tags", "pins", "reasons",
}  # fmt: skip


def journal_of(
    fold: Fold, settings: Settings, options: AutoMLOptions, arguments: Mapping[str, object]
) -> Journal | None:
    """The journal that `options.resume` names, under the home folder; None where it names none.

    Raises `InputError` for a name that is no file's, and where the journal is of another table or other arguments.
    """
    if not options.resume:
        return None
    if not options.resume.replace("-", "").replace("_", "").replace(".", "").isalnum() or options.resume[0] == ".":
        raise InputError(f"options.resume is {options.resume!r}: give letters, digits, -, _ and .")
    # By the numbers as they are learned from: a frame read from another kind of file is still the same table.
    content = hashlib.sha256(f"{fold.x.shape} {fold.train_rows}".encode())
    for part in (fold.x, fold.y, *(() if fold.queries is None else (fold.queries,))):
        content.update(np.ascontiguousarray(part).data)
    about = {"table": content.hexdigest()}
    about |= {name: repr(value) for name, value in arguments.items()}
    about |= {one.name: _told(getattr(options, one.name)) for one in fields(options) if one.name not in _ASIDE}
    return Journal(settings.home / "automl" / f"{options.resume}.journal", about)


def _told(value: object) -> str:
    """An option as text that is the same in another process: what has a NAME by it."""
    if isinstance(value, list | tuple):
        return repr([str(getattr(one, "NAME", one)) for one in value])
    return repr(value)
