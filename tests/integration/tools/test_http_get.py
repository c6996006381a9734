"""`http_get` reads public pages within bounds, and follows no redirect inside."""

import asyncio
import gzip
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from aiohttp import web
from django.test import override_settings

from apps.tools.types import ToolUnavailable, Trust

PAGE = """<html><head><title>A &amp; B</title><style>p{}</style></head><body>
<h1>Head</h1><p>One<br>two &lt;3</p><script>alert(1)</script><ul><li>a</li><li>b</li></ul></body>"""


class Site:
    """A web server of ours; `seen` are the headers of each request by path."""

    def __init__(self) -> None:
        self.port = 0
        self.seen: list[tuple[str, dict[str, str]]] = []

    def url(self, path: str, host: str = "127.0.0.1") -> str:
        return f"http://{host}:{self.port}{path}"

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.seen.append((request.path, dict(request.headers)))
        match request.path:
            case "/page":
                return web.Response(text=PAGE, content_type="text/html")
            case "/json":
                return web.json_response({"a": 1})
            case "/image":
                return web.Response(body=b"\x89PNG", content_type="image/png")
            case "/large":
                return web.Response(text="x" * 100_000)
            case "/bomb":
                body = gzip.compress(b"0" * 50_000_000)
                headers = {"Content-Encoding": "gzip", "Content-Type": "text/plain"}
                return web.Response(body=body, headers=headers)
            case "/latin":
                return web.Response(
                    body="caf\xe9".encode("latin-1"), content_type="text/plain", charset="latin-1"
                )
            case "/odd":
                return web.Response(
                    body=b"a\0b", headers={"Content-Type": "text/plain; charset=odd"}
                )
            case "/to":
                raise web.HTTPFound(request.query["where"])
            case "/loop":
                raise web.HTTPFound("/loop")
        raise web.HTTPNotFound(text="nothing here")


@pytest.fixture
def site() -> Iterator[Site]:
    from octavo.kernel import io

    found = Site()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", found.handle)
    runner = web.AppRunner(app)

    async def start() -> None:
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        found.port = runner.addresses[0][1]

    io.call(start(), timeout=10)
    yield found
    io.call(runner.cleanup(), timeout=10)


@pytest.fixture
def get(scope: Any) -> Callable[..., Any]:
    from apps.tools import selectors
    from apps.tools.services import calling
    from apps.tools.types import ToolContext
    from octavo.kernel import io

    def fetch(url: str, **arguments: Any) -> Any:
        tool = selectors.get_tool(scope=scope, name="http_get")
        assert tool.is_remote
        context = ToolContext(scope=scope, step="s1", idempotency_key="k")
        arguments = {"url": url, **arguments}
        prepared = calling.prepare(context=context, tool=tool, arguments=arguments)
        return io.call(calling.send(prepared), timeout=60)

    return fetch


def test_a_page_is_read_as_its_reader_sees_it(get: Any, site: Site) -> None:
    result = get(site.url("/page"))
    head, _, text = result.text.partition("\n\n")
    assert head == f"HTTP 200 {site.url('/page')} (text/html)"
    assert text.splitlines() == ["A & B", "", "# Head", "One", "two <3", "- a", "- b"]
    assert result.trust is Trust.UNTRUSTED
    assert not result.is_error


def test_other_kinds_are_text_or_described(get: Any, site: Site) -> None:
    assert get(site.url("/json")).text.endswith('{"a": 1}')
    assert get(site.url("/latin")).text.endswith("caf\xe9")
    assert get(site.url("/odd")).text.endswith("a\ufffdb")
    assert "[not text, 4 bytes; not shown]" in get(site.url("/image")).text
    missing = get(site.url("/none"))
    assert missing.is_error
    assert "HTTP 404" in missing.text
    assert "nothing here" in missing.text


def test_no_more_is_read_than_asked_for(get: Any, site: Site) -> None:
    text = get(site.url("/large"), max_bytes=10).text
    assert "x" * 10 in text
    assert "x" * 11 not in text
    assert "only the first 10 bytes" in text
    assert len(get(site.url("/bomb")).text) < 33_000


@pytest.mark.parametrize(
    "name",
    ["Authorization", "cookie", "HOST", "Proxy-Authorization", "Content-Length", "a b", "x:"],
)
def test_some_headers_cannot_be_sent(get: Any, site: Site, name: str) -> None:
    result = get(site.url("/json"), headers={name: "x"})
    assert result.is_error
    assert name in result.text
    assert site.seen == []


def test_redirects_are_followed_and_headers_stay_with_their_host(get: Any, site: Site) -> None:
    headers = {"X-Key": "secret"}
    with override_settings(EGRESS_ALLOW=("127.0.0.1", "localhost")):
        here = get(site.url("/to?where=/json"), headers=headers)
        away = get(site.url(f"/to?where={site.url('/json', 'localhost')}"), headers=headers)
    assert not here.is_error
    assert not away.is_error
    keys = [seen.get("X-Key") for _, seen in site.seen]
    assert keys == ["secret", "secret", "secret", None]


@pytest.mark.parametrize(
    "where",
    ["http://169.254.169.254/latest/", "http://[::1]:1/", "http://10.0.0.1/", "file:///etc/passwd"],
)
def test_no_redirect_leads_inside(get: Any, site: Site, where: str) -> None:
    result = get(site.url(f"/to?where={where}"))
    assert result.is_error
    assert [path for path, _ in site.seen] == ["/to"]


def test_internal_addresses_need_the_operators_word(get: Any, site: Site) -> None:
    with override_settings(EGRESS_ALLOW=()):
        for host in ("127.0.0.1", "localhost"):
            result = get(site.url("/json", host))
            assert result.is_error
            assert "OCTAVO_EGRESS_ALLOW" in result.text
        assert get(site.url("/json", "2130706433")).is_error
    assert site.seen == []


def test_endless_redirects_and_dead_hosts_end(get: Any, site: Site) -> None:
    assert "redirects" in get(site.url("/loop")).text
    assert len(site.seen) == 6
    with pytest.raises(ToolUnavailable) as caught:
        get("http://127.0.0.1:1/")
    assert not caught.value.was_sent


def test_nothing_is_kept_on_the_loop(get: Any, site: Site) -> None:
    from octavo.kernel import io

    async def tasks() -> int:
        return len(asyncio.all_tasks())

    before = io.call(tasks(), timeout=5)
    get(site.url("/json"))
    assert io.call(tasks(), timeout=5) <= before + 1
