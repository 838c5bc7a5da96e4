"""The servers that graphs keep state and queues on: those of the feature store's tests."""

from ..featurestore.conftest import redis_server, server, valkey, valkey_cluster

__all__ = ["redis_server", "server", "valkey", "valkey_cluster"]
