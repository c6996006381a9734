"""`http_get`: one page of the public web as text, through guarded egress and within bounds.

Redirects are followed here, so that what was meant for one host is not sent to another.
"""

import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from urllib.parse import urljoin, urlsplit

import aiohttp

from apps.tools.adapters import html_text
from apps.tools.types import ToolContext, ToolResult, ToolUnavailable, Trust
from octavo.kernel import egress
from octavo.kernel.errors import InvalidInput

MOST_BYTES = 2_000_000
USUAL_BYTES = 200_000
TIMEOUT = timedelta(seconds=30)

_MOST_REDIRECTS = 5
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_TEXT = re.compile(
    r"text/|application/(?:[\w.-]+\+)?(?:json|xml|yaml)|application/(?:javascript|x-ndjson)"
)
_HTML = frozenset({"text/html", "application/xhtml+xml"})
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_OURS = frozenset(
    {
        *("authorization", "cookie", "host", "connection", "content-length", "expect"),
        *("keep-alive", "te", "trailer", "transfer-encoding", "upgrade", "forwarded"),
    }
)
_SENT = {"User-Agent": "octavo", "Accept": "text/html, application/json, text/*;q=0.9, */*;q=0.1"}


async def http_get(context: ToolContext, arguments: Mapping[str, Any]) -> ToolResult:
    """A `Sender`: the page's text under its status, address and type.

    An error result for what cannot or may not be fetched. Raises `ToolUnavailable` when a host does
    not answer.
    """
    headers = _checked(arguments.get("headers", {}))
    most = arguments.get("max_bytes", USUAL_BYTES)
    try:
        async with egress.session(timeout=TIMEOUT.total_seconds()) as session:
            return await _fetch(session, egress.check_url(arguments["url"]), headers, most)
    except TimeoutError:
        raise _unavailable(arguments["url"], "no answer in time", was_sent=True) from None
    except aiohttp.ClientConnectorError as error:
        raise _unavailable(arguments["url"], str(error), was_sent=False) from None
    except ValueError as error:  # an address that is none, once it is looked at closely
        raise InvalidInput(f"{arguments['url']!r} cannot be fetched: {error}.") from None
    except (aiohttp.ClientError, OSError) as error:
        raise _unavailable(arguments["url"], str(error), was_sent=True) from None


async def _fetch(
    session: aiohttp.ClientSession, url: str, headers: Mapping[str, str], most: int
) -> ToolResult:
    for _ in range(_MOST_REDIRECTS + 1):
        async with session.get(url, headers={**_SENT, **headers}, allow_redirects=False) as answer:
            location = answer.headers.get("Location", "")
            if answer.status not in _REDIRECTS or not location:
                return await _read(answer, most)
        following = egress.check_url(urljoin(url, location))
        headers = headers if _origin(following) == _origin(url) else {}
        url = following
    raise InvalidInput(f"{url} was reached after {_MOST_REDIRECTS} redirects, and leads further.")


async def _read(answer: aiohttp.ClientResponse, most: int) -> ToolResult:
    kind = answer.content_type
    head = f"HTTP {answer.status} {answer.url} ({kind})"
    if not _TEXT.match(kind):
        size = f", {answer.content_length:,} bytes" if answer.content_length else ""
        return _result(f"{head}\n[not text{size}; not shown]", answer.status)
    data = bytearray()
    async for chunk in answer.content.iter_chunked(64 * 1024):
        data += chunk
        if len(data) > most:
            break
    text = _decoded(bytes(data[:most]), answer.charset)
    if kind in _HTML:
        text = html_text.readable(text)
    note = f"\n[only the first {most:,} bytes were read]" if len(data) > most else ""
    return _result(f"{head}\n\n{text}{note}", answer.status)


def _result(text: str, status: int) -> ToolResult:
    return ToolResult(
        text=text.replace("\0", "\ufffd"), is_error=status >= 400, trust=Trust.UNTRUSTED
    )


def _decoded(data: bytes, charset: str | None) -> str:
    try:
        return data.decode(charset or "utf-8", "replace")
    except LookupError:  # an encoding that nobody knows
        return data.decode("utf-8", "replace")


def _checked(headers: Mapping[str, str]) -> Mapping[str, str]:
    for name, value in headers.items():
        if name.lower() in _OURS or name.lower().startswith(("proxy-", "sec-", "x-forwarded-")):
            raise InvalidInput(f"The header {name} cannot be sent with http_get. Leave it out.")
        if not _TOKEN.fullmatch(name) or not (value.isprintable() and value.isascii()):
            raise InvalidInput(f"{name!r}: {value!r} is not a header. Use printable ASCII.")
    return headers


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port


def _unavailable(url: str, cause: str, *, was_sent: bool) -> ToolUnavailable:
    host = urlsplit(url).netloc.rpartition("@")[2]
    return ToolUnavailable(f"{host} cannot be read: {cause.rstrip('.')}.", was_sent=was_sent)
