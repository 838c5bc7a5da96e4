"""A search brought to where its journal ends: asked and told once more, without training."""

from __future__ import annotations

from collections.abc import Sequence

from ...runtime.errors import StorageError
from .journal import Told
from .search import Candidate, Search


def replay(search: Search, told: Sequence[Told]) -> list[Candidate]:
    """Asks and tells a fresh search in the order of the journal; what was asked for and never came back.

    A search of the same seed proposes the same; raises `StorageError` where this one does not (other versions of
    libraries).
    """
    open_: dict[int, Candidate] = {}
    for one in told:
        while search.asked < one.asked:
            candidate = search.ask()
            open_[candidate.number] = candidate
        asked = open_.pop(one.trial.number, None)
        if asked is None or (asked.learner, dict(asked.config)) != (one.trial.learner, dict(one.trial.config)):
            raise StorageError(
                f"trial {one.trial.number} of the journal is not what this search proposes (other versions of its "
                "libraries?): delete the journal, or give options.resume another name"
            )
        search.tell(one.trial)
    return list(open_.values())
