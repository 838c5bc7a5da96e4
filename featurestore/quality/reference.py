"""What traffic is compared with: the profile of the training rows, and how much they varied by themselves."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace

import numpy as np

from ...runtime.errors import InputError
from .drift import Distance, Usual, distances
from .exact_profile import ExactProfile
from .open_profile import load_profile, new_profile
from .profile import Floats, Profile
from .quantile_profile import MAGIC as QUANTILES
from .quantile_profile import QuantileProfile

BLOCK_ROWS = 200
MAX_BLOCKS = 100
_MAGIC = b"eagleray reference 1\n"


@dataclass(frozen=True, slots=True)
class Reference:
    """A profile, and for each feature the largest distance that a stretch of its own rows had from the whole.

    A feature like the hour, the weekend or a slow average of each customer is never in one stretch of time what
    it is over a week. Only more than that is drift (`DriftRule.margin`).
    """

    profile: Profile
    usual: Mapping[str, Usual] = field(default_factory=dict)

    def distances(self, current: Profile) -> tuple[Distance, ...]:
        """As `drift.distances`, each with what is usual for its feature."""
        found = distances(self.profile, current)
        return tuple(replace(d, usual=self.usual.get(d.feature, Usual())) for d in found)

    def to_bytes(self) -> bytes:
        """A line of JSON and the profile's own bytes."""
        usual = {name: asdict(one) for name, one in self.usual.items()}
        return _MAGIC + json.dumps(usual).encode() + b"\n" + self.profile.to_bytes()

    @classmethod
    def from_bytes(cls, content: bytes, *, load: Callable[[bytes], Profile] = load_profile) -> Reference:
        """What `to_bytes` wrote, or a profile's bytes; raises `InputError` for anything else."""
        if content.startswith(QUANTILES):
            return cls(QuantileProfile.from_bytes(content))
        if not content.startswith(_MAGIC):
            return cls(load(content))
        head, _, body = content.removeprefix(_MAGIC).partition(b"\n")
        try:
            usual = {str(name): Usual(**one) for name, one in json.loads(head).items()}
        except (ValueError, TypeError, AttributeError) as error:
            raise InputError("this reference is damaged: make it anew from the training rows") from error
        return cls(load(body), usual)


def make_reference(columns: Mapping[str, Floats], *, new: Callable[[], Profile] = new_profile) -> Reference:
    """The reference of training rows, given as float64 columns in the order of time.

    Stretches of 200 consecutive rows, at most 100 of them spread over the whole, show what varies by itself.
    Rows in no order of time are fine too: then only chance varies.
    """
    whole, exact = new(), ExactProfile()
    whole.update(columns)
    exact.update(columns)
    usual: dict[str, Usual] = {}
    for start in _starts(exact.rows):
        block = ExactProfile()
        block.update({name: column[start : start + BLOCK_ROWS] for name, column in columns.items()})
        for found in distances(exact, block):
            usual[found.feature] = usual.get(found.feature, Usual()).widen(found)
    return Reference(whole, usual)


def _starts(rows: int) -> list[int]:
    count = rows // BLOCK_ROWS
    # With a single block or two, a block is the whole and tells nothing.
    if count < 3:
        return []
    chosen = np.unique(np.linspace(0, count - 1, min(count, MAX_BLOCKS)).round().astype(int))
    return [int(n) * BLOCK_ROWS for n in chosen]
