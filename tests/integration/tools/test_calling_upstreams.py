"""A call over MCP: what reaches the server, what comes back, and what is known otherwise."""

from typing import Any

import pytest
from django.test import override_settings

from apps.tools.types import ToolUnavailable, Trust


@pytest.fixture(params=["modern", "legacy"])
def upstream(request: pytest.FixtureRequest) -> Any:
    """Servers of both eras of the protocol."""
    return request.getfixturevalue(request.param)


def test_a_call_carries_its_key_and_answers_with_text_and_structure(
    add: Any, call: Any, upstream: Any
) -> None:
    body = add("lab", transport="http", url=upstream.url)
    assert body["protocol_version"] in {"2026-07-28", "2025-11-25"}
    result = call("lab__echo", text="hi", key="run/s1")
    assert (result.text, result.structured, result.is_error) == ("hi", {"text": "hi"}, False)
    assert result.trust is Trust.UNTRUSTED
    assert "call echo run/s1 " in upstream.lines()


def test_a_repeated_call_with_its_key_acts_once(add: Any, call: Any, upstream: Any) -> None:
    add("lab", transport="http", url=upstream.url)
    for key in ("a", "a", "b"):
        call("lab__note", line="paid", key=key)
    assert upstream.lines("notes") == ["a paid", "b paid"]


def test_progress_is_passed_on(add: Any, call: Any, upstream: Any) -> None:
    add("lab", transport="http", url=upstream.url)
    seen: list[Any] = []
    assert call("lab__count", n=3, progress=lambda *told: seen.append(told)).text == "3"
    assert seen == [(float(n), 3.0, f"number {n}") for n in (1, 2, 3)]


def test_every_kind_of_content_becomes_text_that_can_be_stored(
    add: Any, call: Any, upstream: Any
) -> None:
    add("lab", transport="http", url=upstream.url)
    result = call("lab__mixed")
    assert result.text.splitlines() == [
        "first",
        "[image: image/png, 3 bytes]",
        "[resource: report, file:///report.pdf]",
        "[resource: note://1, text/plain]",
        "inside",
        "nul \ufffd here",
    ]
    assert result.structured == {"big": str(2**70), "nul": "a\ufffdb", "list": [1, None]}


def test_an_upstreams_own_errors_are_read_by_the_model(add: Any, call: Any, upstream: Any) -> None:
    add("lab", transport="http", url=upstream.url)
    for name, words in (("fail", "the disk is full"), ("refuse", "not on a Sunday")):
        result = call(f"lab__{name}")
        assert result.is_error
        assert result.text == words


def test_long_answers_are_cut(add: Any, call: Any, upstream: Any) -> None:
    add("lab", transport="http", url=upstream.url)
    text = call("lab__flood", n=100_000).text
    assert len(text) < 33_000
    assert text.endswith("[cut: 68000 more characters; ask for less]")


def test_a_timeout_cancels_the_call_and_keeps_the_connection(
    add: Any, api: Any, call: Any, upstream: Any
) -> None:
    add("lab", transport="http", url=upstream.url)
    assert call("lab__echo", text="warm").text == "warm"
    api.post("tools/lab__hang/approve-definition", {"timeout_seconds": 3})
    with pytest.raises(ToolUnavailable, match="within 3 s") as caught:
        call("lab__hang")
    assert caught.value.was_sent
    upstream.process.wait_until(lambda: "cancelled" in upstream.lines(), timeout=30)
    lists = upstream.lines().count("list")
    assert call("lab__echo", text="after").text == "after"
    assert upstream.lines().count("list") == lists  # a new connection would list first


def test_a_server_that_is_away_was_not_called(
    add: Any, call: Any, api: Any, tmp_path: Any, modern: Any
) -> None:
    from octavo.devserver.ports import free_port
    from tests.integration.tools.conftest import HttpUpstream

    away = HttpUpstream(folder=tmp_path, port=free_port())
    away.start(UPSTREAM_LEGACY="1")
    add("away", transport="http", url=away.url)
    add("lab", transport="http", url=modern.url)
    assert call("away__echo", text="x").text == "x"
    away.stop()
    with pytest.raises(ToolUnavailable) as caught:
        call("away__echo", text="x")
    assert not caught.value.was_sent
    failed = api.post("tool-servers/away/refresh")
    assert failed.status == 502
    assert call("lab__echo", text="still here").text == "still here"
    health = {s["name"]: s["health"] for s in api.get("tool-servers").body["items"]}
    assert health == {"away": "failing", "lab": "healthy"}

    away.start(UPSTREAM_LEGACY="1")  # it has forgotten the session
    assert call("away__echo", text="back").text == "back"
    away.process.kill()
    away.start(UPSTREAM_TOKEN="secret")
    with pytest.raises(ToolUnavailable, match=r"401.*token") as caught:
        call("away__echo", text="x")
    assert not caught.value.was_sent
    patched = api.request("PATCH", "tool-servers/away", {"token": "secret"})
    assert patched.body["auth"] == "bearer"
    assert call("away__echo", text="let in").text == "let in"
    with pytest.raises(ToolUnavailable) as caught:
        call("away__die")
    assert caught.value.was_sent
    away.stop()


def test_credentials_never_share_a_connection(modern: Any) -> None:
    import asyncio

    from apps.tools.adapters import mcp_connections
    from apps.tools.types import Transport, Upstream
    from octavo.kernel import ids

    server_id = ids.new()

    def as_user(token: str) -> Upstream:
        return Upstream(
            server_id=server_id,
            server="lab",
            transport=Transport.HTTP,
            url=modern.url,
            token=token,
        )

    async def connect() -> None:
        async with mcp_connections.use(as_user("alice")) as alice:
            async with mcp_connections.use(as_user("alice")) as same:
                assert same is alice
            async with mcp_connections.use(as_user("bob")) as bob:
                assert bob is not alice
            many = await asyncio.gather(*(opened(as_user("carol")) for _ in range(10)))
            assert len(set(map(id, many))) == 1
        await mcp_connections.close()

    async def opened(upstream: Upstream) -> Any:
        async with mcp_connections.use(upstream) as connection:
            return connection

    for _ in range(2):  # each event loop has connections of its own
        asyncio.run(connect())
    assert "alice" not in repr(as_user("alice"))


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:{port}/mcp",
        "http://localhost:{port}/mcp",
        "http://[::ffff:127.0.0.1]:{port}/mcp",
        "http://169.254.169.254/mcp",
    ],
)
def test_internal_servers_need_the_operators_word(api: Any, modern: Any, url: str) -> None:
    body = {"name": "lab", "transport": "http", "url": url.format(port=modern.port)}
    with override_settings(EGRESS_ALLOW=()):
        problem = api.post("tool-servers", body).problem()
    assert "OCTAVO_EGRESS_ALLOW" in problem["detail"]
    assert modern.lines() == []


def test_no_redirect_leads_elsewhere(api: Any, modern: Any) -> None:
    for target in ("http://169.254.169.254/", modern.url.replace("127.0.0.1", "localhost")):
        url = f"http://127.0.0.1:{modern.port}/moved?{target}"
        problem = api.post("tool-servers", {"name": "lab", "transport": "http", "url": url})
        assert problem.status == 502
        assert "not followed" in problem.body["detail"]
    assert modern.lines() == []
