"""What replicas run, as bytes: a function that makes it, with the user's own modules."""

from __future__ import annotations

import pickle
import sys
from collections.abc import Callable, Sequence
from typing import Any

import cloudpickle

from .errors import DeploymentError


def pack(build: Callable[..., Any], *, modules: Sequence[str] = ()) -> bytes:
    """The function as bytes; the user's own `modules` go along, for replicas do not have their files."""
    named = [sys.modules[name] for name in modules if name in sys.modules and name != "__main__"]
    already = cloudpickle.list_registry_pickle_by_value()
    added = [module for module in named if module.__name__ not in already]
    for module in added:
        cloudpickle.register_pickle_by_value(module)
    try:
        packed: bytes = cloudpickle.dumps(build)
    except (TypeError, pickle.PicklingError) as error:
        raise DeploymentError(
            f"a step cannot travel to the replicas ({error}): create connections, locks and files in its setup()"
        ) from None
    finally:
        for module in added:
            cloudpickle.unregister_pickle_by_value(module)
    return packed
