"""Static files straight from ASGI: WhiteNoise's index, sent without Django's request cycle or its
threads.
"""

import asyncio
from collections.abc import Iterable
from typing import IO, Any

from whitenoise.middleware import WhiteNoiseMiddleware  # type: ignore[import-untyped]

_CHUNK = 2**16
_PASSED_ON = {
    b"accept-encoding": "HTTP_ACCEPT_ENCODING",
    b"if-none-match": "HTTP_IF_NONE_MATCH",
    b"if-modified-since": "HTTP_IF_MODIFIED_SINCE",
    b"range": "HTTP_RANGE",
}


class StaticFiles:
    """Answers for every file that the installed apps ship under `static/`."""

    def __init__(self) -> None:
        self._index = WhiteNoiseMiddleware(get_response=None)

    def knows(self, path: str) -> bool:
        return path in self._index.files

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        """Serve the file at a path that it `knows`, revalidated by its time of change."""
        meta = {
            _PASSED_ON[name]: value.decode("latin-1")
            for name, value in scope["headers"]
            if name in _PASSED_ON
        }
        found = await asyncio.to_thread(
            self._index.files[scope["path"]].get_response, scope["method"], meta
        )
        await send(
            {
                "type": "http.response.start",
                "status": int(found.status),
                "headers": _encoded(found.headers),
            }
        )
        if found.file is not None:
            await _send_file(found.file, send)
        await send({"type": "http.response.body", "body": b""})


def _encoded(headers: Iterable[tuple[str, str]]) -> list[tuple[bytes, bytes]]:
    encoded = [(name.lower().encode(), str(value).encode("latin-1")) for name, value in headers]
    return [*encoded, (b"x-content-type-options", b"nosniff")]


async def _send_file(file: IO[bytes], send: Any) -> None:
    try:
        while chunk := await asyncio.to_thread(file.read, _CHUNK):
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
    finally:
        file.close()
