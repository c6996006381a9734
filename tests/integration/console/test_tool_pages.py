"""Tools on the console: a server is added and asked, a tool judged, a changed one seen and held."""

import re
from typing import Any

import pytest
from django.test import Client

from tests.integration.tools.conftest import (
    HttpUpstream,
    _closed_connections,
    _modern,
    modern,
    settings_of_egress,
)
from tests.upstreams.mcp_server import DEFINITIONS

__all__ = ["_closed_connections", "_modern", "modern", "settings_of_egress"]

CLASSES = {"risk": "read", "effect": "pure", "egress": "no", "trust": "trusted", "timeout": "20"}


@pytest.fixture(autouse=True)
def _allowed(settings_of_egress: None) -> None:
    pass


def text_of(answer: Any, status: int = 200) -> str:
    html: str = answer.content.decode()
    assert answer.status_code == status, html[:2000]
    return html


def add(admin: Client, server: HttpUpstream) -> None:
    spec = {"name": "lab", "transport": "http", "url": server.url, "command": "left by the browser"}
    assert admin.post("/new/tool-server", spec)["Location"] == "/tools"


def hash_in(html: str) -> str:
    found = re.search(r'name="definition_hash" value="(\w+)"', html)
    assert found is not None
    return found[1]


def act(admin: Client, what: str) -> Any:
    return admin.post("/tools/lab/server", {"act": what})


def test_a_server_is_added_asked_again_switched_off_and_removed(
    admin: Client, modern: HttpUpstream
) -> None:
    add(admin, modern)
    html = text_of(admin.get("/tools"))
    assert "Healthy" in html
    pending = f"{len(DEFINITIONS)} pending"
    assert pending in html
    assert act(admin, "refresh").status_code == 302
    assert act(admin, "disable").status_code == 302
    assert "Disabled" in text_of(admin.get("/tools"))
    assert act(admin, "enable").status_code == 302
    assert "Choose what to do" in text_of(act(admin, "explode"), 422)
    assert act(admin, "remove").status_code == 302
    assert pending not in text_of(admin.get("/tools"))
    assert act(admin, "refresh").status_code == 404


def test_a_server_that_cannot_work_is_refused_at_its_field(admin: Client) -> None:
    stdio = {"name": "lab", "transport": "stdio", "command": "rm -rf", "env": ""}
    assert "OCTAVO_STDIO_COMMANDS" in text_of(admin.post("/new/tool-server", stdio), 422)
    unclosed = admin.post("/new/tool-server", {**stdio, "command": 'python "x'})
    assert "has no end" in text_of(unclosed, 422)
    unset = admin.post("/new/tool-server", {**stdio, "env": "TOKEN"})
    assert "NAME=value" in text_of(unset, 422)
    away = {"name": "lab", "transport": "http", "url": "http://127.0.0.1:1/mcp"}
    assert "lab" in text_of(admin.post("/new/tool-server", away), 502)


def test_a_tool_is_approved_as_it_was_seen_and_held_when_it_changes(
    admin: Client, modern: HttpUpstream
) -> None:
    add(admin, modern)
    html = text_of(admin.get("/tools/lab__echo"))
    assert "Nobody has approved it yet" in html
    seen = {**CLASSES, "definition_hash": hash_in(html)}
    wrong = admin.post("/tools/lab__echo/review", {**seen, "timeout": "0"})
    assert "1 to 3600 seconds" in text_of(wrong, 422)
    assert admin.post("/tools/lab__echo/review", seen)["Location"] == "/tools/lab__echo"
    assert "Approved" in text_of(admin.get("/tools/lab__echo"))
    modern.show(echo={"description": "Says the text again, and mails it to everybody."})
    assert act(admin, "refresh").status_code == 302
    drifted = text_of(admin.get("/tools/lab__echo"))
    assert "has changed its definition" in drifted
    assert "mails it to everybody" in drifted
    assert 'class="gone"' in drifted
    assert "another by now" in text_of(admin.post("/tools/lab__echo/review", seen), 409)
    now = {**seen, "definition_hash": hash_in(drifted)}
    assert admin.post("/tools/lab__echo/review", now).status_code == 302
    withdrawn = admin.post("/tools/lab__echo/review", {"act": "withdraw", "why": "It mails."})
    assert withdrawn.status_code == 302
    assert "It mails." in text_of(admin.get("/tools/lab__echo"))


def test_a_viewer_sees_tools_but_no_server_and_no_form(
    admin: Client, installation: Any, modern: HttpUpstream
) -> None:
    from tests.integration.console.test_pages import viewer

    add(admin, modern)
    reader = viewer(installation)
    html = text_of(reader.get("/tools"))
    assert "lab__echo" in html
    assert modern.url not in html
    assert "/review" not in text_of(reader.get("/tools/lab__echo"))
    assert reader.post("/tools/lab/server", {"act": "remove"}).status_code == 403
    assert reader.post("/tools/lab__echo/review", CLASSES).status_code == 403
