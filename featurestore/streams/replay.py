"""Dead letters as rows again, once their cause is cured."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from ...runtime.errors import InputError
from ..definitions.feature_set import FeatureSet
from ..definitions.schema import conform, empty
from ..events.log import DeadLetter


@dataclass(frozen=True, slots=True)
class GivenAgain:
    """Rows of a feature set, the letters they come from, and a token by which they are given once only."""

    frame: pl.DataFrame
    letters: tuple[DeadLetter, ...]
    token: str


def given_again(feature_set: FeatureSet, letters: Sequence[DeadLetter]) -> GivenAgain:
    """Every letter whose row is one of the set's; the others (foreign bytes, another schema) are left out."""
    frames, kept = [empty(feature_set.input_schema)], []
    for letter in letters:
        try:
            row = json.loads(letter.row)
            frames.append(conform([row], feature_set.input_schema, owner=feature_set.name))
        except (ValueError, AttributeError, InputError):
            continue
        kept.append(letter)
    ids = "\n".join(f"{letter.id} {letter.row}" for letter in kept)
    token = f"replay-{hashlib.sha256(ids.encode()).hexdigest()[:32]}"
    return GivenAgain(pl.concat(frames), tuple(kept), token)
