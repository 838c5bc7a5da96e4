"""Every error eagleray raises on purpose, in one tree.

EaglerayError
├── DefinitionError        a declaration is wrong (feature set, graph, scale, function)
├── InputError             data or a request does not fit what was declared
├── NotFoundError          a name that nobody declared
│   ├── FeatureNotFound
│   ├── FeatureSetNotFound
│   ├── ModelNotFound
│   ├── HubItemNotFound
│   └── PinNotFound        a pinned version that is no longer known
├── ModelMismatch          a model wants other features than it is given
├── PromotionRefused       a model did not pass a gate
├── ServerUnavailable      Redis, Ray or a catalog cannot be reached
├── StorageError           a disk or a table refused a write
├── LogFull                events come faster than they are worked through
├── Fenced                 another worker has taken this partition over
└── DeploymentError        a service did not come up

A message is one line that names the culprit and gives the cure. `http_status` is what an
endpoint answers when the error reaches it.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import ClassVar


class EaglerayError(Exception):
    """The root of the tree: catch it to catch all of eagleray's own errors."""

    http_status: ClassVar[int] = 500


class DefinitionError(EaglerayError):
    """A declaration is wrong; raised where it is declared, not where it is first used."""


class InputError(EaglerayError):
    """Data or a request does not fit what was declared."""

    http_status = 422


class NotFoundError(EaglerayError):
    """A name that nobody declared; the message suggests the nearest known ones."""

    http_status = 404


class FeatureNotFound(NotFoundError):
    """No such feature in the feature set."""


class FeatureSetNotFound(NotFoundError):
    """No such feature set in the store."""


class ModelNotFound(NotFoundError):
    """No such model, version or alias in the registry."""


class HubItemNotFound(NotFoundError):
    """No such item in the hub."""


class PinNotFound(NotFoundError):
    """A version that a training set is pinned to, and that is no longer known."""


class ModelMismatch(EaglerayError):
    """A model wants other features than it is given."""


class PromotionRefused(EaglerayError):
    """A model did not pass a gate; the alias points where it did."""

    http_status = 409


class ServerUnavailable(EaglerayError):
    """A server (Redis, Ray, a catalog) cannot be reached."""

    http_status = 503


class StorageError(EaglerayError):
    """A disk or a table refused a write; nothing half-written is left behind."""

    http_status = 507


class LogFull(EaglerayError):
    """Events come faster than they are worked through; nothing was written, try again after `retry_after_s`."""

    http_status = 503

    def __init__(self, message: str, *, retry_after_s: float = 1.0) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class Fenced(EaglerayError):
    """Another worker has taken this partition over; what this one still holds is stale."""

    http_status = 409


class DeploymentError(EaglerayError):
    """A service did not come up."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """`; did you mean 'x'?` for the nearest known name, else the list of the known ones (at most 8)."""
    names = sorted(known)
    near = [one for one in names if one.lower() == name.lower()] or difflib.get_close_matches(name, names, n=1)
    if near:
        return f"; did you mean {near[0]!r}?"
    if not names:
        return "; none is defined yet"
    shown = ", ".join(names[:8]) + (", ..." if len(names) > 8 else "")
    return f"; known: {shown}"
