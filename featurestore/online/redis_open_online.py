"""Opens the online store of a Redis or Valkey server, or of the cluster that the server belongs to."""

from __future__ import annotations

from dataclasses import replace

from ...runtime import redis_client
from ...runtime.settings import Settings
from .online import OnlineStore
from .redis_online import RedisOnlineStore


def open_online(settings: Settings) -> OnlineStore:
    """The store; whatever it asks may be asked twice, so a broken connection is simply made again."""
    if settings.online_url is not None:
        settings = replace(settings, redis_url=settings.online_url)
    client = redis_client.connect(settings, retries=6)
    if not redis_client.clustered(client, settings):
        return RedisOnlineStore(client, settings)
    from .redis_cluster_online import RedisClusterOnlineStore

    client.close()
    return RedisClusterOnlineStore(redis_client.connect_cluster(settings), settings)
