"""PostgreSQL, Redis and the workers: whether they answer, and with the rights that they need."""

from collections.abc import Sequence
from typing import Any

import psycopg
import redis
from django.conf import settings
from django.db import connections
from django.db.migrations.executor import MigrationExecutor

from apps.console.doctor.findings import Finding, broken, ok, warning
from apps.orchestration import selectors as runs
from octavo.kernel import jobs, secrets
from octavo.kernel.redis import client

_CONNECT_SECONDS = 3
_POSTGRES, _PGVECTOR = 18, (0, 8)
_PATIENCE_SECONDS = 30
_PRIVILEGES = """
SELECT r.rolsuper,
       count(*) FILTER (WHERE c.relowner = r.oid),
       count(*) FILTER (WHERE NOT has_table_privilege(c.oid, 'SELECT, INSERT, UPDATE, DELETE'))
FROM pg_roles r
LEFT JOIN pg_class c ON c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p')
WHERE r.rolname = current_user GROUP BY r.oid, r.rolsuper
"""


def postgres() -> Sequence[Finding]:
    """The version, pgvector, the migrations and the rights of the role that runs Octavo."""
    name = "PostgreSQL"
    try:
        with _connect("default") as connection:
            found = [_versions(connection), *_rights(connection)]
        _connect("owner").close()
    except psycopg.OperationalError as error:
        cause = str(error).strip().splitlines()[0]
        step = "Start it (`make up`), or correct DATABASE_URL and OCTAVO_DATABASE_OWNER_URL."
        return [broken(name, f"does not answer ({cause})", step)]
    return [*found, _migrations()]


def _connect(alias: str) -> "psycopg.Connection[Any]":
    """Without the pool, which would try for ten seconds."""
    chosen = connections.settings[alias]
    given: dict[str, Any] = {"dbname": chosen["NAME"], "connect_timeout": _CONNECT_SECONDS}
    given |= {key: chosen[key.upper()] or None for key in ("user", "password", "host", "port")}
    given |= {name: value for name, value in chosen["OPTIONS"].items() if name != "pool"}
    return psycopg.connect(autocommit=True, **given)


def _versions(connection: "psycopg.Connection[Any]") -> Finding:
    server = connection.info.server_version // 10_000
    row = connection.execute(
        "SELECT current_setting('server_version'), "
        "(SELECT extversion FROM pg_extension WHERE extname = 'vector')"
    ).fetchone()
    number, vector = row or ("", None)
    detail = f"{number.split()[0]} with pgvector {vector or 'missing'}"
    if vector is None or tuple(int(part) for part in vector.split(".")[:2]) < _PGVECTOR:
        step = "Install pgvector 0.8 or newer and run `CREATE EXTENSION vector` as a superuser."
        return broken("PostgreSQL", detail, step)
    if server < _POSTGRES:
        return warning("PostgreSQL", detail, f"Octavo is tested with {_POSTGRES}: upgrade it.")
    return ok("PostgreSQL", detail)


def _rights(connection: "psycopg.Connection[Any]") -> Sequence[Finding]:
    row = connection.execute(_PRIVILEGES).fetchone()
    is_superuser, owned, closed = row or (False, 0, 0)
    role = connection.info.user
    step = "Let DATABASE_URL name a role of its own, and OCTAVO_DATABASE_OWNER_URL the owner."
    if closed:
        detail = f"role {role} may not use {closed} tables"
        return [broken("Roles", detail, "Run `python manage.py migrate`, which grants it that.")]
    if is_superuser:
        return [warning("Roles", f"Octavo runs as the superuser {role}", step)]
    if owned:
        return [warning("Roles", f"Octavo runs as {role}, who owns its tables", step)]
    return [ok("Roles", f"{role} runs, {settings.DATABASES['owner']['USER']} migrates")]


def _migrations() -> Finding:
    executor = MigrationExecutor(connections["default"])
    plan = executor.migration_plan(executor.loader.graph.leaf_nodes())
    if plan:
        step = "Run `python manage.py migrate`."
        return broken("Migrations", f"{len(plan)} are not applied, {plan[0][0]} first", step)
    return ok("Migrations", "all applied")


def credentials() -> Sequence[Finding]:
    """Whether what is sealed in the database can be opened."""
    lost = secrets.list_unreadable()
    if not lost:
        return [ok("Credentials", "all stored ones can be opened")]
    step = "Add the key that sealed them to the end of OCTAVO_ENCRYPTION_KEYS, or set them again."
    return [broken("Credentials", f"no key opens {', '.join(lost)}", step)]


def redis_server() -> Sequence[Finding]:
    place = _place()
    try:
        found: Any = client().info("server")
    except redis.RedisError as error:
        detail = f"does not answer at {place} ({error})"
        return [broken("Redis", detail, "Start it (`make up`), or correct REDIS_URL.")]
    return [ok("Redis", f"{found['redis_version']} at {place}")]


def _place() -> str:
    """Where Redis is, without its password."""
    known = client().connection_pool.connection_kwargs
    return str(known.get("path") or f"{known.get('host')}:{known.get('port')}")


def workers() -> Sequence[Finding]:
    """Those that have shown themselves in the database lately; they need Redis to be woken."""
    try:
        client().ping()
    except redis.RedisError:
        return [broken("Workers", "cannot be counted without Redis", "Start Redis first.")]
    alive = runs.count_workers()
    waiting, oldest = jobs.count_waiting(), jobs.oldest_waiting_seconds()
    detail = f"{alive} alive; {runs.count_ready()} runs and {waiting} jobs wait"
    step = "Start Octavo (`make up`), or a worker of its own; then see the lines of `worker`."
    if not alive:
        return [broken("Workers", detail, step)]
    if oldest > _PATIENCE_SECONDS:
        return [broken("Workers", f"{detail}, the oldest for {oldest:.0f} s", step)]
    return [ok("Workers", detail)]
