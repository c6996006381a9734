"""Tool servers over REST: refused with the reason, and no secret ever comes out again."""

from typing import Any

import pytest

WEB = {"name": "lab", "transport": "http", "url": "http://127.0.0.1:1/mcp"}


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"name": "Bad Name"}, "/name"),
        ({"name": "a__b"}, "/name"),
        ({"name": "x" * 21}, "/name"),
        ({"name": "agent"}, "/name"),
        ({"name": "0ctavo"}, "/name"),
        ({"name": "to-ols"}, "/name"),
        ({"transport": "sse"}, "/transport"),
        ({"url": "ftp://x"}, "/url"),
        ({"url": ""}, "/url"),
        ({"url": "http://user:pass@127.0.0.1/mcp"}, "/url"),
        ({"command": "npx"}, "/command"),
        ({"env": {"A": "b"}}, "/command"),
        ({"auth": "oauth"}, "/auth"),
        ({"auth": "bearer"}, "/token"),
        ({"auth": "none", "token": "x"}, "/token"),
        ({"token": "two words"}, "/token"),
        ({"odd": 1}, "/odd"),
        ({"args": "x"}, "/args"),
        ({"env": ["A"]}, "/env"),
    ],
)
def test_what_cannot_work_is_refused_by_field(api: Any, change: dict[str, Any], path: str) -> None:
    problem = api.post("tool-servers", WEB | change).problem()
    assert problem["status"] == 422
    assert path in {error["path"] for error in problem["errors"]}, problem


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "tool-servers/nobody", None, 404),
        ("PATCH", "tool-servers/nobody", {"enabled": False}, 404),
        ("DELETE", "tool-servers/nobody", None, 404),
        ("POST", "tool-servers/nobody/refresh", {}, 404),
        ("POST", "tool-servers/nobody/approve-definitions", {}, 404),
        ("GET", "tools/nobody__x", None, 404),
        ("GET", "tools/%00", None, 404),
        ("GET", "tools?state=odd", None, 422),
        ("GET", "tools?risk=odd", None, 422),
        ("GET", "tool-servers?cursor=!", None, 422),
        ("POST", "tools/http_get/quarantine", {}, 422),
        ("POST", "tools/x__y/approve-definition", {"risk": "none"}, 422),
        ("POST", "tools/x__y/approve-definition", {"effect": "same_database"}, 422),
        ("POST", "tools/x__y/approve-definition", {"timeout_seconds": 0}, 422),
    ],
)
def test_bad_input_is_a_problem(api: Any, method: str, path: str, body: Any, status: int) -> None:
    answer = api.request(method, path, body)
    assert answer.status == status, answer.body
    assert answer.problem()["detail"]


def test_a_server_that_cannot_be_reached_is_kept_only_when_disabled(api: Any) -> None:
    refused = api.post("tool-servers", WEB)
    assert refused.status == 502
    assert "127.0.0.1:1" in refused.problem()["detail"]
    assert api.get("tool-servers/lab").status == 404
    kept = api.post("tool-servers", WEB | {"enabled": False})
    assert kept.status == 201
    assert kept.body["health"] == "unknown"
    refreshed = api.post("tool-servers/lab/refresh")
    assert refreshed.status == 502
    body = api.get("tool-servers/lab").body
    assert body["health"] == "failing"
    assert body["last_error"]
    assert api.request("PATCH", "tool-servers/lab", {"enabled": True}).status == 502
    assert api.get("tool-servers/lab").body["enabled"] is False


def test_what_is_no_mcp_server_is_refused(api: Any, modern: Any) -> None:
    answer = api.post("tool-servers", WEB | {"url": f"http://127.0.0.1:{modern.port}/broken"})
    assert answer.status == 502
    assert "HTTP 500" in answer.problem()["detail"]


def test_secrets_are_sealed_and_not_shown(api: Any, plain: Any) -> None:
    from django.db import connection

    made = api.post("tool-servers", {"name": "lab", **plain(TOKEN="hush-hush"), "enabled": False})
    assert made.body["env"] == ["TOKEN"]
    web = api.post("tool-servers", WEB | {"name": "web", "token": "hush-hush", "enabled": False})
    assert web.body["auth"] == "bearer"
    shown = [made.body, web.body, api.get("tool-servers").body, api.get("tool-servers/lab").body]
    assert "hush-hush" not in str(shown)
    with connection.cursor() as cursor:
        for table in ("tool_server", "audit_entry"):
            cursor.execute(f"SELECT to_jsonb(t)::text FROM {table} t")
            rows = cursor.fetchall()
            assert rows
            assert "hush-hush" not in str(rows)


def test_a_name_that_looks_like_another_is_refused(api: Any) -> None:
    assert api.post("tool-servers", WEB | {"name": "github", "enabled": False}).status == 201
    for name in ("github", "git-hub", "g1thub"):
        answer = api.post("tool-servers", WEB | {"name": name, "enabled": False})
        assert answer.status == 409
        assert "github" in answer.problem()["detail"]


def test_a_repeated_request_adds_one_server(api: Any, modern: Any) -> None:
    body = WEB | {"url": modern.url}
    first = api.post("tool-servers", body, Idempotency_Key="k")
    again = api.post("tool-servers", body, Idempotency_Key="k")
    assert first.status == again.status == 201
    assert again.headers["Idempotency-Replayed"] == "true"
    assert first.body == again.body
    assert api.post("tool-servers/lab/refresh", Idempotency_Key="r").status == 200


def test_a_removed_server_takes_its_tools_along(api: Any, add: Any, modern: Any) -> None:
    add("lab", transport="http", url=modern.url)
    assert api.delete("tool-servers/lab").status == 204
    assert api.get("tools?server=lab").body["items"] == []
    assert api.get("tools/lab__echo").status == 404
    add("lab", transport="http", url=modern.url, approve=False)


def test_another_project_sees_no_server(add: Any, scope: Any, modern: Any) -> None:
    from dataclasses import replace

    from apps.tools import selectors
    from octavo.kernel import ids

    add("lab", transport="http", url=modern.url)
    elsewhere = replace(scope, project_id=ids.new())
    assert selectors.find_tool(scope=elsewhere, name="lab__echo") is None
    assert selectors.list_granted(scope=elsewhere, patterns=["lab__*"]) == ()
    assert selectors.list_server_resources(scope=elsewhere) == []
