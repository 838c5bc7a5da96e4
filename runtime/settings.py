"""Where things live: read once from the environment, then passed along."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from dataclasses import fields as dataclass_fields
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Settings:
    """Every part has an embedded default under `home`; set one to outgrow it.

    `redis_url` None means the embedded Valkey server, started on demand on loopback; `online_url` is where online
    features live when that is another server, or a cluster.
    `ray_address` None means a Ray of this machine's own, started on demand. `serve_host` is the address services listen
    at; `api_keys` are what their callers must show, and none is asked for when there is none.
    """

    home: Path
    redis_url: str | None = None
    offline_uri: str | None = None
    catalog_url: str | None = None
    tracking_uri: str | None = None
    ray_address: str | None = None
    serve_host: str = "127.0.0.1"
    online_url: str | None = None
    api_keys: tuple[str, ...] = field(default=(), repr=False)

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None) -> Settings:
        """Reads `EAGLERAY_HOME`, `EAGLERAY_REDIS_URL`, `EAGLERAY_ONLINE_URL`, `EAGLERAY_OFFLINE_URI`,
        `EAGLERAY_CATALOG_URL`, `MLFLOW_TRACKING_URI`, `RAY_ADDRESS`, `EAGLERAY_SERVE_HOST` and `EAGLERAY_API_KEYS`
        (several with commas between); an empty value counts as unset."""
        env = os.environ if environ is None else environ
        home = env.get("EAGLERAY_HOME") or str(Path.home() / ".eagleray")
        return cls(
            home=Path(home).expanduser().absolute(),
            redis_url=env.get("EAGLERAY_REDIS_URL") or None,
            offline_uri=env.get("EAGLERAY_OFFLINE_URI") or None,
            catalog_url=env.get("EAGLERAY_CATALOG_URL") or None,
            tracking_uri=env.get("MLFLOW_TRACKING_URI") or None,
            ray_address=env.get("RAY_ADDRESS") or None,
            serve_host=env.get("EAGLERAY_SERVE_HOST") or "127.0.0.1",
            online_url=env.get("EAGLERAY_ONLINE_URL") or None,
            api_keys=tuple(key.strip() for key in env.get("EAGLERAY_API_KEYS", "").split(",") if key.strip()),
        )

    def __reduce__(self) -> tuple[Callable[..., Settings], tuple[object, ...]]:
        """What travels to workers and replicas holds no key: they know digests, where they need any."""
        fields = [getattr(self, one.name) for one in dataclass_fields(self) if one.name != "api_keys"]
        return (Settings, tuple(fields))

    @property
    def is_exposed(self) -> bool:
        """True where services listen at an address that other machines may reach."""
        return self.serve_host not in ("127.0.0.1", "localhost", "::1")

    @property
    def offline_root(self) -> str:
        """The folder or URI that holds the Delta tables."""
        return self.offline_uri or str(self.home / "offline")

    @property
    def catalog(self) -> str:
        """The SQLAlchemy URL of the catalog."""
        return self.catalog_url or f"sqlite:///{self.home / 'catalog.db'}"

    @property
    def tracking(self) -> str:
        """The MLflow tracking URI."""
        return self.tracking_uri or f"sqlite:///{self.home / 'mlflow.db'}"
