"""The keys of many requests at once, for every set that a vector reads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from ...runtime.errors import InputError
from ..definitions.entity import Entity, escaped
from ..definitions.wanted import Wanted
from .requests import Requests


class OnlineKeys:
    """Makes the online keys of requests; sets of the same entities share the work."""

    def __init__(self, wanted: Sequence[Wanted]) -> None:
        self._entities = list(dict.fromkeys(_sorted(item.applied.entities) for item in wanted))
        # An online key is what stands before the entity's key, that key, and a closing brace.
        heads = [item.applied.online_key("")[:-1] for item in wanted]
        places = [self._entities.index(_sorted(item.applied.entities)) for item in wanted]
        self._sets = list(zip(heads, places, strict=True))

    def of(self, requests: Requests) -> list[bytes]:
        """Set by set, one key a request; raises `InputError` for a missing or ill-typed entity."""
        columns = [[_checked(entity, requests) for entity in entities] for entities in self._entities]
        made: list[bytes] = []
        for head, place in self._sets:
            entities, values = self._entities[place], columns[place]
            if len(entities) == 1 and entities[0].dtype == "int64":
                # By far the most common entity, and one formatting for all keys instead of three a key.
                form = b"%b%b=i%%d}\n" % (head, entities[0].name.encode())
                made += (form * len(values[0]) % tuple(values[0])).split(b"\n")[:-1]
            else:
                before = head.decode()
                made += [f"{before}{key}}}".encode() for key in _entity_keys(entities, values)]
        return made


def _sorted(entities: Sequence[Entity]) -> tuple[Entity, ...]:
    return tuple(sorted(entities, key=lambda entity: entity.name))


def _entity_keys(entities: tuple[Entity, ...], columns: Sequence[Sequence[object]]) -> list[str]:
    """`row_key` of every request."""
    parts = []
    for entity, column in zip(entities, columns, strict=True):
        if entity.dtype == "int64":
            parts.append([f"{entity.name}=i{value}" for value in column])
        else:
            parts.append([f"{entity.name}=s{text}" for text in _escaped(cast("Sequence[str]", column))])
    return parts[0] if len(parts) == 1 else ["|".join(row) for row in zip(*parts, strict=True)]


def _escaped(texts: Sequence[str]) -> Sequence[str]:
    together = "".join(texts)
    return [escaped(text) for text in texts] if "|" in together or "\\" in together else texts


def _checked(entity: Entity, requests: Requests) -> list[object]:
    column = requests.column(entity.name, entity.dtype)
    wanted: type = str if entity.dtype == "string" else int
    if set(map(type, column)) - {wanted}:
        for value in column:
            if value is None:
                raise InputError(f"{requests.owner}: the request lacks {entity.name!r} ({entity.dtype})")
            if not isinstance(value, wanted) or isinstance(value, bool):
                raise InputError(f"{requests.owner}: {entity.name!r} must be {entity.dtype}, got {value!r}")
    return column
