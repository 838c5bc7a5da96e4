"""The feature sets that one catalog knows, as versions of which one is active."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from ...runtime.errors import FeatureSetNotFound, did_you_mean
from .catalog import KIND, AppliedSet
from .feature_set import FeatureSet

if TYPE_CHECKING:
    from ...runtime.sql_catalog import Catalog, Document


@dataclass(frozen=True)
class Registry:
    """Declarations in, versions out."""

    catalog: Catalog

    def put(self, feature_set: FeatureSet, *, activate: bool = True) -> AppliedSet:
        """The declaration as a version; the same content gives the same version."""
        body = feature_set.definition() | {"owner": feature_set.owner, "description": feature_set.description}
        content_hash = feature_set.content_hash()
        document = self.catalog.put(KIND, feature_set.name, content_hash=content_hash, body=body, activate=activate)
        return self.of_document(document)

    def active(self, name: str) -> AppliedSet:
        """The active version; raises `FeatureSetNotFound` with the nearest name."""
        document = self.catalog.active(KIND, name)
        if document is None:
            known = [applied.name for applied in self.all_active()]
            raise FeatureSetNotFound(f"no feature set {name!r}{did_you_mean(name, known)}")
        return self.of_document(document)

    def all_active(self) -> list[AppliedSet]:
        """The active version of every feature set, by name."""
        return [self.of_document(document) for document in self.catalog.all_active(KIND)]

    def versions(self, name: str) -> list[AppliedSet]:
        """Every version of one set, the first one first."""
        return [self.of_document(document) for document in self.catalog.versions(KIND, name)]

    @cached_property
    def namespace(self) -> str:
        """What tells this catalog's keys and tables from those of others on the same server or lake; drawn once."""
        known = self.catalog.active("store", "namespace")
        drawn = {"namespace": secrets.token_hex(4)}
        document = known or self.catalog.put("store", "namespace", content_hash="", body=drawn)
        return str(document.body["namespace"])

    def of_document(self, document: Document) -> AppliedSet:
        """A version as the catalog keeps it."""
        return AppliedSet.of_document(
            self.namespace,
            document.name,
            version=document.version,
            content_hash=document.content_hash,
            body=document.body,
        )
