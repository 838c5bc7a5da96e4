"""Working events through on the spot, for a caller who waits for them while no stream runs."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping

from ...runtime.errors import Fenced, StorageError
from ..definitions.catalog import AppliedSet
from ..definitions.feature_set import FeatureSet
from ..events.membership import Membership
from .worker import Stores, Worker

POLL_S = 0.02


def catch_up(
    feature_set: FeatureSet, applied: AppliedSet, stores: Stores, ends: Mapping[int, int], *, timeout_s: float = 60.0
) -> None:
    """Returns once each partition is online up to its offset: by a stream, wherever one runs, else done here.

    Raises `StorageError` after `timeout_s`.
    """
    items = [str(partition) for partition in ends]
    membership = Membership(stores.online.leases, applied.full_name, items, joins=False)
    worker = Worker(feature_set, applied, stores, leases={})
    deadline, pause = time.monotonic() + timeout_s, threading.Event()
    try:
        while missing := _missing(stores, ends):
            if not membership.members:
                claimed = {item: membership.claim(item) for item in items if item not in membership.held}
                worker.hold({int(item): lease for item, lease in claimed.items() if lease is not None})
            if not _step(worker):
                pause.wait(POLL_S)
                membership.beat()
            if time.monotonic() > deadline:
                raise StorageError(
                    f"{applied.label}: partitions {sorted(missing)} not online after {timeout_s:g} s; "
                    "is the machine overloaded? The events are in the log and will be worked through"
                )
        worker.save()
    finally:
        membership.leave()


def _missing(stores: Stores, ends: Mapping[int, int]) -> dict[int, int]:
    at = stores.log.checkpoints() if ends else {}
    return {partition: offset for partition, offset in ends.items() if at[partition] < offset}


def _step(worker: Worker) -> int:
    try:
        return worker.step()
    except Fenced:
        return 0  # whoever has that partition works it through
