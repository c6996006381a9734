"""The web process: health and static files answered beside Django, which gets every other request.

The server's event loop is the process's I/O loop from the first request to the last.
"""

import asyncio
import contextlib
import os
import re
import signal
import threading
from types import FrameType
from typing import Any

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "octavo.settings")
_django = get_asgi_application()

from django.conf import settings  # noqa: E402  Django is set up above
from django.db import connections  # noqa: E402

from apps.api import ops  # noqa: E402
from apps.api.mcp import application as mcp  # noqa: E402
from apps.api.openai import application as openai  # noqa: E402
from apps.api.problems import of_error  # noqa: E402
from apps.inference.services import connections as model_connections  # noqa: E402
from apps.orchestration.services import upkeep, watching  # noqa: E402
from apps.tools.services import connections as tool_connections  # noqa: E402
from octavo.kernel import io  # noqa: E402
from octavo.kernel.errors import TooLarge  # noqa: E402
from octavo.static_files import StaticFiles  # noqa: E402

_static = StaticFiles()
_stopping, _wake = threading.Event(), threading.Event()
_UPLOAD = re.compile(r"/api/v1/spaces/[^/]+/(ingest|entries/.+)|/context/[^/]+/upload")
_FILES_AT_ONCE = 4  # so many files of the largest size fit into one upload


async def application(scope: dict[str, Any], receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        await _lifespan(receive, send)
    elif scope["type"] != "http":
        raise ValueError(f"Octavo speaks HTTP only, not {scope['type']}.")
    elif scope["path"] in ops.PATHS:
        await ops.application(scope, receive, send)
    elif scope["path"] in mcp.PATHS:
        await mcp.application(scope, receive, send)
    elif _static.knows(scope["path"]) and scope["method"] in {"GET", "HEAD"}:
        await _static(scope, receive, send)
    elif scope["path"].startswith(openai.PREFIX):
        await openai.application(scope, receive, send)
    else:
        await _bounded(scope, receive, send)


async def _lifespan(receive: Any, send: Any) -> None:
    serving = contextlib.AsyncExitStack()
    while True:
        message = await receive()
        if message["type"] == "lifespan.startup":
            io.use_loop(asyncio.get_running_loop())
            _keep_leases()
            _end_streams_on_stop(asyncio.get_running_loop())
            await serving.enter_async_context(mcp.running())
            await send({"type": "lifespan.startup.complete"})
        elif message["type"] == "lifespan.shutdown":
            await serving.aclose()
            _stopping.set()
            _wake.set()
            await watching.close()
            await model_connections.close()
            await tool_connections.close()
            await asyncio.to_thread(_close_pools)
            await send({"type": "lifespan.shutdown.complete"})
            return


def _keep_leases() -> None:
    """Tool calls run in this process too, so it keeps their leases as a worker does."""
    keeper = threading.Thread(
        target=upkeep.keep_leases, args=(_stopping, _wake), name="octavo-heartbeat", daemon=True
    )
    keeper.start()


def _end_streams_on_stop(loop: asyncio.AbstractEventLoop) -> None:
    """Close open streams before the server, which would wait for each; viewers reconnect."""
    if threading.current_thread() is not threading.main_thread():
        return
    for number in (signal.SIGTERM, signal.SIGINT):
        server_handler = signal.getsignal(number)

        def stop(received: int, frame: FrameType | None, then: Any = server_handler) -> None:
            loop.call_soon_threadsafe(watching.end_streams)
            upkeep.stop()  # tool calls under way go on in a worker
            if callable(then):
                then(received, frame)

        signal.signal(number, stop)


def _close_pools() -> None:
    connections.close_all()
    for wrapper in connections.all(initialized_only=True):
        wrapper.close_pool()  # type: ignore[attr-defined]


class _BodyTooLarge(Exception):
    pass


async def _bounded(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Hand the request to Django, which spools its body to disk: never more than may be sent."""
    limit = _body_limit(scope)
    declared = _header(scope, b"content-length")
    if declared.isdigit() and int(declared) > limit:
        await _refuse(limit, send)
        return
    received = 0

    async def receive_bounded() -> Any:
        nonlocal received
        message = await receive()
        received += len(message.get("body", b""))
        if received > limit:
            raise _BodyTooLarge
        return message

    try:
        await _django(scope, receive_bounded, send)
    except _BodyTooLarge:  # raised while Django reads, so nothing has been answered yet
        await _refuse(limit, send)


def _body_limit(scope: dict[str, Any]) -> int:
    """Uploads may be large where files are taken, and there only for who shows a credential."""
    is_form = _header(scope, b"content-type").lower().startswith(b"multipart/form-data")
    is_known = _header(scope, b"authorization") or _header(scope, b"cookie")
    if is_form and is_known and _UPLOAD.fullmatch(scope["path"]):
        return int(settings.MAX_FILE_BYTES) * _FILES_AT_ONCE
    return int(settings.DATA_UPLOAD_MAX_MEMORY_SIZE)


def _header(scope: dict[str, Any], name: bytes) -> bytes:
    return next((bytes(value) for header, value in scope["headers"] if header == name), b"")


async def _refuse(limit: int, send: Any) -> None:
    response = of_error(
        TooLarge(
            f"The request body is larger than {limit:,} bytes. Send less at once, or raise "
            "OCTAVO_MAX_BODY_BYTES (JSON) or OCTAVO_MAX_FILE_BYTES (uploads)."
        )
    ).response()
    headers = [(b"content-type", response["Content-Type"].encode()), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": 413, "headers": headers})
    await send({"type": "http.response.body", "body": response.content})
