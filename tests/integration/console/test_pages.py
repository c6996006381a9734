"""Every page answers, for an admin and for a viewer, who sees no button that they may not use."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from django.test import Client

from octavo.kernel import ids

HOST = {"Host": "localhost"}
PAGES = (
    "/",
    "/runs",
    "/ask",
    "/triggers",
    "/approvals",
    "/costs",
    "/agents",
    "/agents/helper",
    "/context",
    "/context/notes",
    "/tools",
    "/tools/context_search",
    "/models",
    "/connect",
    "/members",
)
ADMIN_PAGES = ("/keys", "/new/agent", "/agents/helper/edit")
FORMS = re.compile(r'<form method="post" action="([^"]*)"')
EVERYBODYS = {"/theme", "/logout"}


@pytest.fixture
def helper(installation: Any) -> Iterator[Any]:
    """A project with an agent, a space and a route."""
    from apps.agents.services import definitions
    from apps.agents.types import Definition, Strategy
    from apps.context.services import spaces
    from apps.model_registry import services
    from apps.model_registry.types import ModelKind, ProviderKind

    scope = installation.scope
    services.create_provider(
        scope=scope,
        name="lab",
        kind=ProviderKind.OPENAI_COMPATIBLE,
        base_url="http://127.0.0.1:9/v1",
    )
    services.set_route(scope=scope, name="default", kind=ModelKind.CHAT, targets=[("lab", "chat")])
    spaces.create_space(scope=scope, name="notes")
    definition = Definition(instructions="Help.", strategy=Strategy.TOOLS)
    definitions.save_agent(scope=scope, name="helper", definition=definition, create=True)
    return installation


def signed_in(email: str) -> Client:
    from django.contrib.auth import get_user_model

    client = Client(headers=HOST, raise_request_exception=False)
    client.force_login(get_user_model().objects.get(email=email))
    return client


def viewer(installation: Any) -> Client:
    from apps.accounts import services
    from apps.accounts.types import Role

    link = services.invite_member(
        scope=installation.scope, email="vi@example.test", role=Role.VIEWER
    )
    client = Client(headers=HOST)
    assert client.post(link)["Location"] == "/"
    return client


@pytest.mark.parametrize("page", [*PAGES, *ADMIN_PAGES])
def test_every_page_answers_an_admin(helper: Any, page: str) -> None:
    answer = signed_in(helper.admin_email).get(page)
    assert answer.status_code == 200, answer.content.decode()[:2000]
    html = answer.content.decode()
    assert "<h1" in html
    assert " style=" not in html


def test_a_viewer_reads_every_page_and_may_change_nothing(helper: Any) -> None:
    client = viewer(helper)
    for page in PAGES:
        answer = client.get(page)
        assert answer.status_code == 200, page
        html = answer.content.decode()
        expected = EVERYBODYS | ({"/ask"} if page == "/ask" else set())
        assert set(FORMS.findall(html)) <= expected, page


def test_what_a_viewer_may_not_do_is_refused_in_words(helper: Any) -> None:
    client = viewer(helper)
    assert client.get("/keys").status_code == 403
    refused = client.post("/members", {"email": "x@example.test", "role": "admin"})
    assert refused.status_code == 403
    assert "member.manage" in refused.content.decode()
    assert client.post("/new/space", {"name": "mine"}).status_code == 403


def test_an_agent_is_made_changed_and_compared(helper: Any) -> None:
    client = signed_in(helper.admin_email)
    fields = {"instructions": "Quote.", "route": "default", "strategy": "tools", "max_steps": "5"}
    wrong = client.post("/new/agent", {**fields, "name": "Not a name", "max_tokens": "many"})
    assert wrong.status_code == 422
    assert "must be a whole number" in wrong.content.decode()
    made = client.post("/new/agent", {**fields, "name": "quoter", "space:notes": "read"})
    assert made["Location"] == "/agents/quoter"
    changed = {**fields, "instructions": "Quote well.", "tools": ["context_search"]}
    assert client.post("/agents/quoter/edit", changed).status_code == 302
    page = client.get("/agents/quoter?compare=1").content.decode()
    assert 'class="new"' in page
    assert "Quote well." in page
    unwritable = client.post("/agents/quoter/edit", {**changed, "remember": "notes"})
    assert unwritable.status_code == 422
    assert "name a space that the agent may write" in unwritable.content.decode()
    written = {**changed, "space:notes": "write", "remember": "notes"}
    assert client.post("/agents/quoter/edit", written).status_code == 302
    assert "Remembers in" in client.get("/agents/quoter").content.decode()
    place = client.get("/context/notes").content.decode()
    assert '<a href="/agents/quoter">quoter</a> <span class="muted">write</span>' in place


def test_a_key_is_shown_once_and_revoked(helper: Any) -> None:
    client = signed_in(helper.admin_email)
    made = client.post("/keys", {"name": "laptop", "purpose": "run", "life": "30"}).content.decode()
    secret = re.search(r"oct_[\w-]{40,}", made)
    assert secret is not None
    assert secret[0] not in client.get("/keys").content.decode()
    key = re.search(r"/keys/(key_\w+)/revoke", made)
    assert key is not None
    assert client.post(f"/keys/{key[1]}/revoke").status_code == 302
    assert client.post("/keys", {"name": "", "purpose": "run"}).status_code == 422


def test_members_change_roles_but_never_lose_the_last_admin(helper: Any) -> None:
    from django.contrib.auth import get_user_model

    client = signed_in(helper.admin_email)
    page = client.post("/members", {"email": "Bo@example.test", "role": "member"}).content.decode()
    assert re.search(r"/login/[\w-]{40,}", page)
    users = get_user_model().objects
    bo = ids.encode(ids.Kind.USER, users.get(email="bo@example.test").pk)
    me = ids.encode(ids.Kind.USER, users.get(email=helper.admin_email).pk)
    assert client.post(f"/members/{bo}", {"role": "viewer"}).status_code == 302
    refused = client.post(f"/members/{me}", {"role": "viewer"})
    assert refused.status_code == 409
    assert "last admin" in refused.content.decode()
    assert client.post(f"/members/{bo}", {"act": "remove"}).status_code == 302
    assert client.post(f"/members/{bo}", {"act": "remove"}).status_code == 404


def test_the_theme_is_remembered(helper: Any) -> None:
    client = signed_in(helper.admin_email)
    assert 'data-theme="dark"' not in client.get("/").content.decode()
    assert client.post("/theme", {"theme": "dark", "next": "/runs"})["Location"] == "/runs"
    assert 'data-theme="dark"' in client.get("/").content.decode()
    assert client.post("/theme", {"theme": "x", "next": "//evil.example"})["Location"] == "/"


def test_staff_tables_open_for_staff_alone_and_loosen_their_own_policy_only(helper: Any) -> None:
    client = signed_in(helper.admin_email)
    page = client.get("/admin/")
    assert page.status_code == 200
    assert "unsafe-eval" in page["Content-Security-Policy"]
    assert "unsafe" not in client.get("/")["Content-Security-Policy"]
    users = client.get("/admin/accounts/user/")
    assert users.status_code == 200
    assert "pbkdf2" not in users.content.decode()
    assert client.get("/admin/accounts/user/add/").status_code == 403
    assert viewer(helper).get("/admin/")["Location"].startswith("/admin/login/")
    assert Client(headers=HOST).get("/admin/login/")["Location"] == "/login?next=/admin/"
