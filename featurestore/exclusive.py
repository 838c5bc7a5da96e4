"""A worker that has all partitions to itself for a while, whoever had them: what a batch ingestion needs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from .catalog import AppliedSet
from .feature_set import FeatureSet
from .membership import Membership
from .worker import Stores, Worker


@contextmanager
def exclusive(feature_set: FeatureSet, applied: AppliedSet, stores: Stores) -> Iterator[Worker]:
    """Streams of the set, in whatever process, pause for the length of the block and then go on where they were."""
    items = [str(partition) for partition in range(stores.log.partitions)]
    membership = Membership(stores.online.leases, applied.full_name, items, joins=False)
    try:
        leases = {int(item): lease for item, lease in membership.take_all().items()}
        yield Worker(feature_set, applied, stores, leases=leases)
    finally:
        membership.leave()
