"""Who may speak to `/mcp` at all, and how everybody else is told."""

from typing import Any

import pytest

from tests.conformance.mcp.behaviours import behaviour
from tests.integration.mcp.conftest import Endpoint


@behaviour("auth.challenge")
@pytest.mark.parametrize("header", ["", "Bearer oct_wrong", "Basic abc", "Bearer "])
def test_a_request_without_a_valid_key_is_refused_in_words(mcp: Endpoint, header: str) -> None:
    reply = mcp.send(Authorization=header)
    assert reply.status == 401
    assert reply.headers["www-authenticate"].startswith("Bearer ")
    error = reply.json()
    assert (error["jsonrpc"], error["id"]) == ("2.0", None)
    assert "Authorization: Bearer oct_" in error["error"]["message"]


def test_the_sdk_shows_why_a_key_is_refused(mcp: Endpoint) -> None:
    with pytest.raises(BaseExceptionGroup) as refused:
        mcp.names("legacy", key="oct_wrong")
    assert "The API key is unknown" in _all_texts(refused.value)


def _all_texts(error: BaseException) -> str:
    if isinstance(error, BaseExceptionGroup):
        return " ".join(_all_texts(each) for each in error.exceptions)
    return str(error)


def test_a_session_id_is_no_credential(mcp: Endpoint) -> None:
    mine = mcp.send(b'{"jsonrpc": "2.0", "id": 1, "method": "ping"}')
    assert mine.status == 200
    session = mine.headers["mcp-session-id"]
    assert mcp.send(Authorization="", Mcp_Session_Id=session).status == 401


@behaviour("transport.origin")
def test_pages_and_hosts_that_are_not_ours_are_refused(mcp: Endpoint) -> None:
    ping = b'{"jsonrpc": "2.0", "id": 1, "method": "ping"}'
    assert mcp.send(ping, Host="evil.example").status == 421
    assert mcp.send(ping, Origin="https://evil.example").status == 403
    assert mcp.send(ping, Origin="null").status == 403
    assert mcp.send(ping, Origin="http://localhost:6274").status == 200


@behaviour("transport.methods")
@pytest.mark.parametrize("method", ["GET", "DELETE", "PUT"])
def test_there_is_no_session_to_listen_to_or_to_delete(mcp: Endpoint, method: str) -> None:
    reply = mcp.send(b"", method=method)
    assert (reply.status, reply.headers["allow"]) == (405, "POST")


def test_a_body_beyond_the_limit_is_refused(mcp: Endpoint) -> None:
    from django.conf import settings

    address = mcp.send(Content_Type="application/json")
    assert address.status == 400
    declared = mcp.send(b" " * (settings.DATA_UPLOAD_MAX_MEMORY_SIZE + 1))
    assert declared.status == 413


@behaviour("transport.parse")
@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"3", b'{"jsonrpc": "2.0"}', b"\xff"])
def test_what_is_no_message_is_a_bad_request(mcp: Endpoint, body: bytes) -> None:
    reply = mcp.send(body)
    assert reply.status == 400
    assert "error" in reply.json()


def test_a_revoked_key_is_refused_at_once(mcp: Endpoint, admin: Any, new_key: Any) -> None:
    from apps.accounts import selectors, services

    key = new_key()
    assert mcp.send(b'{"jsonrpc": "2.0", "id": 1, "method": "ping"}', Authorization=f"Bearer {key}")
    (issued, *_) = selectors.list_keys(scope=admin)
    services.revoke_key(scope=admin, key_id=issued.id)
    assert mcp.send(Authorization=f"Bearer {key}").status == 401
