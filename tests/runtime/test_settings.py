from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path

from eagleray.runtime.settings import Settings


def test_defaults_live_in_the_home_folder() -> None:
    settings = Settings.from_env({"EAGLERAY_HOME": "/data/er", "EAGLERAY_REDIS_URL": ""})
    assert (settings.home, settings.redis_url, settings.ray_address) == (Path("/data/er"), None, None)
    assert settings.offline_root == "/data/er/offline"
    assert settings.catalog == "sqlite:////data/er/catalog.db"
    assert settings.tracking == "sqlite:////data/er/mlflow.db"


def test_each_part_can_be_moved() -> None:
    settings = Settings.from_env(
        {
            "EAGLERAY_REDIS_URL": "redis://cache:6379/1",
            "EAGLERAY_OFFLINE_URI": "s3://lake/er",
            "EAGLERAY_CATALOG_URL": "postgresql://db/er",
            "MLFLOW_TRACKING_URI": "http://mlflow:5000",
            "RAY_ADDRESS": "ray://head:10001",
        }
    )
    assert settings.redis_url == "redis://cache:6379/1"
    assert (settings.offline_root, settings.catalog) == ("s3://lake/er", "postgresql://db/er")
    assert (settings.tracking, settings.ray_address) == ("http://mlflow:5000", "ray://head:10001")
    assert settings.home == Path.home() / ".eagleray"


def test_keys_do_not_travel() -> None:
    settings = Settings.from_env({"EAGLERAY_HOME": "/h", "EAGLERAY_API_KEYS": "one-key, other", "RAY_ADDRESS": "h:1"})
    assert settings.api_keys == ("one-key", "other")
    assert "one-key" not in repr(settings)
    packed = pickle.dumps(settings)
    assert b"one-key" not in packed
    assert pickle.loads(packed) == replace(settings, api_keys=())
