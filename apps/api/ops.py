"""Liveness, readiness and metrics, answered beside Django so that a probe needs no host name and
no key.

`/healthz`: the process answers. `/readyz`: it can serve; a dead Redis or model server only
degrades it.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

import orjson
import redis
from django.conf import settings
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor

from apps.observability import metrics
from octavo.kernel import io
from octavo.kernel.redis import client

PATHS = frozenset({"/healthz", "/readyz", "/metrics"})
_PROBE_SECONDS = 1.0
_DATABASE_SECONDS = 5.0
_JSON = b"application/json"
_PROMETHEUS = b"text/plain; version=0.0.4; charset=utf-8"
log = logging.getLogger(__name__)

_checks: dict[Callable[[], str], asyncio.Future[str]] = {}
_migrated = False  # once true it stays so: a newer database still serves this code


async def application(scope: Mapping[str, Any], receive: Any, send: Any) -> None:
    """An ASGI application for the three paths."""
    if scope["method"] not in {"GET", "HEAD"}:
        await _answer(send, 405, _JSON, b'{"detail": "Only GET."}')
    elif scope["path"] == "/healthz":
        await _answer(send, 200, _JSON, b'{"status": "ok"}')
    elif scope["path"] == "/readyz":
        is_ready, found = await readiness()
        await _answer(send, 200 if is_ready else 503, _JSON, orjson.dumps(found))
    else:
        await _answer(send, 200, _PROMETHEUS, await io.db(metrics.render))


async def _answer(send: Any, status: int, content_type: bytes, body: bytes) -> None:
    headers = [
        (b"content-type", content_type),
        (b"content-length", str(len(body)).encode()),
        (b"cache-control", b"no-store"),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def readiness() -> tuple[bool, dict[str, str]]:
    """Whether requests can be served, and the state of everything that serving rests on."""
    database, broker, models = await asyncio.gather(
        _bounded(_database_state), _bounded(_redis_state), _model_server_state()
    )
    is_ready = database == "ok"
    status = "unavailable"
    if is_ready:
        status = "ready" if broker == models == "ok" else "degraded"
    return is_ready, {
        "status": status,
        "database": database,
        "redis": broker,
        "model_server": models,
    }


async def _bounded(read: Callable[[], str]) -> str:
    """The state, or "down" when it takes too long. A check that hangs is waited for, not
    repeated.
    """
    under_way = _checks.get(read)
    if under_way is None or under_way.done():
        under_way = _checks[read] = asyncio.ensure_future(io.db(read))
    try:
        async with asyncio.timeout(_DATABASE_SECONDS):
            return await asyncio.shield(under_way)
    except TimeoutError:
        return "down"


def _database_state() -> str:
    global _migrated
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
        if not _migrated:
            executor = MigrationExecutor(connection)
            _migrated = not executor.migration_plan(executor.loader.graph.leaf_nodes())
    except DatabaseError as error:
        log.warning("The database is not ready: %s", error)
        return "down"
    return "ok" if _migrated else "not migrated: run `python manage.py migrate`"


def _redis_state() -> str:
    try:
        client().ping()
    except redis.RedisError:
        return "down"
    return "ok"


async def _model_server_state() -> str:
    """Whether something listens there; what it can do is the model server's own `/health`."""
    address = urlsplit(settings.MODEL_SERVER_URL)
    port = address.port or (443 if address.scheme == "https" else 80)
    try:
        async with asyncio.timeout(_PROBE_SECONDS):
            _, writer = await asyncio.open_connection(address.hostname, port)
            writer.close()
            await writer.wait_closed()
    except OSError:
        return "down"
    return "ok"
