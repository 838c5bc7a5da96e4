"""Who may call a service: the digests of its keys, never the keys themselves."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ApiKeys:
    """Accepts a key by its SHA-256; without any digest the service is open."""

    digests: tuple[bytes, ...] = ()

    @classmethod
    def of(cls, keys: Iterable[str]) -> ApiKeys:
        """The digests of these keys."""
        return cls(tuple(sorted(hashlib.sha256(key.encode()).digest() for key in keys)))

    def __bool__(self) -> bool:
        return bool(self.digests)

    def accept(self, given: bytes) -> bool:
        """True for a key, bare or as "Bearer KEY"; takes as long for a wrong one as for a right one."""
        if given[:7].lower() == b"bearer ":
            given = given[7:].strip()
        digest = hashlib.sha256(given).digest()
        found = False
        for one in self.digests:
            found |= hmac.compare_digest(one, digest)
        return found
