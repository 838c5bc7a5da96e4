"""What a store remembers of a feature set once it is applied: enough to read it without its code."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import polars as pl

from ...runtime.errors import FeatureNotFound, did_you_mean
from ...runtime.units import duration_us
from .aggregates import Aggregate
from .entity import Entity
from .layout import Layout, lay_out
from .schema import polars_type

KIND = "feature_set"


@dataclass(frozen=True, slots=True)
class AppliedSet:
    """One immutable version of a feature set; `namespace` tells stores apart that share a server or a lake."""

    namespace: str
    name: str
    version: int
    content_hash: str
    entities: tuple[Entity, ...]
    timestamp: str
    columns: dict[str, str]  # after the transform
    layout: Layout
    ttl_us: int | None
    owner: str
    description: str

    @classmethod
    def of_document(
        cls, namespace: str, name: str, *, version: int, content_hash: str, body: dict[str, Any]
    ) -> AppliedSet:
        """Read back from the catalog."""
        columns = dict(body["output_schema"])
        aggregates = [Aggregate(c, f, w, granularity=g) for c, f, w, g in body["aggregates"]]
        return cls(
            namespace=namespace,
            name=name,
            version=version,
            content_hash=content_hash,
            entities=tuple(Entity(entity, dtype) for entity, dtype in body["entities"]),
            timestamp=body["timestamp"],
            columns=columns,
            layout=lay_out(aggregates, columns, [(column, dtype) for column, dtype in body["plain"]]),
            ttl_us=None if body["ttl"] is None else duration_us(body["ttl"]),
            owner=body.get("owner", ""),
            description=body.get("description", ""),
        )

    @property
    def full_name(self) -> str:
        """The name of this version's table, log and lease."""
        return f"{self.namespace}/{self.name}.v{self.version}"

    @property
    def label(self) -> str:
        """The version as people write it."""
        return f"{self.name}.v{self.version}"

    @property
    def feature_types(self) -> dict[str, str]:
        """Every feature and its type."""
        return {feature.name: feature.dtype for feature in self.layout.windowed} | dict(self.layout.plain)

    def typed(self, frame: pl.DataFrame) -> pl.DataFrame:
        """The frame with its columns as the set declares them, as far as it has any of them."""
        return frame.cast({name: polars_type(dtype) for name, dtype in self.columns.items() if name in frame.columns})

    def online_key(self, entity_key: str) -> bytes:
        """Where one entity's state lies; the braces keep all sets of an entity on one shard of a cluster."""
        return f"er:{self.namespace}:{self.name}:v{self.version}:{{{entity_key}}}".encode()

    def check_feature(self, feature: str) -> None:
        """Raises `FeatureNotFound` with the nearest name."""
        if feature not in self.feature_types:
            known = did_you_mean(feature, self.feature_types)
            raise FeatureNotFound(f"no feature {feature!r} in {self.name}:v{self.version}{known}")
