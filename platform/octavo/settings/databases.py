"""Two roles on one database: `owner` migrates, `default` runs and cannot change tables."""

from typing import Any

from psycopg.conninfo import conninfo_to_dict

from octavo.settings import env

_DJANGO_KEYS = {
    "dbname": "NAME",
    "user": "USER",
    "password": "PASSWORD",
    "host": "HOST",
    "port": "PORT",
}

_ONLY_ON_REQUEST = 2**31 - 1  # uses before psycopg prepares by itself what nobody asked it to


def from_url(url: str, *, pool_size: int = 0) -> dict[str, Any]:
    """Django's database settings for a `postgresql://` URL; a pool is used when `pool_size` > 0."""
    options: dict[str, Any] = dict(conninfo_to_dict(url))
    database: dict[str, Any] = {
        name: str(options.pop(key, "") or "") for key, name in _DJANGO_KEYS.items()
    }
    if env.boolean("OCTAVO_DATABASE_PREPARE", True):
        options["prepare_threshold"] = _ONLY_ON_REQUEST
    if pool_size:
        options["pool"] = {"min_size": 1, "max_size": pool_size, "timeout": 10, "max_idle": 120}
    return database | {
        "ENGINE": "django.db.backends.postgresql",
        "OPTIONS": options,
        "CONN_MAX_AGE": 0,
    }


def databases() -> dict[str, dict[str, Any]]:
    url = env.text("DATABASE_URL", "postgresql://octavo_app@127.0.0.1:5432/octavo")
    owner_url = env.text("OCTAVO_DATABASE_OWNER_URL", url)
    return {
        "default": from_url(url, pool_size=env.integer("OCTAVO_DATABASE_POOL", 8)),
        "owner": from_url(owner_url),
    }
