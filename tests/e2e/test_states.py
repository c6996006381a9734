"""What a newcomer and an unlucky person see: empty pages, forms, refusals, a changed tool."""

from typing import Any

import pytest

from tests.e2e.conftest import OUT
from tests.e2e.looking import find_faults, looking
from tests.integration.tools.conftest import (
    HttpUpstream,
    _closed_connections,
    _modern,
    modern,
    settings_of_egress,
)

__all__ = ["_closed_connections", "_modern", "modern", "settings_of_egress"]

LOOKS = (("light", "wide"), ("dark", "narrow"))
REFUSED = ("status of 40", "status of 422", "status of 50")  # Chromium tells of each by itself
EMPTY = {
    "home": "/",
    "runs": "/runs",
    "runs_none_fits": "/runs?q=zebra",
    "approvals": "/approvals",
    "costs": "/costs",
    "agents": "/agents",
    "spaces": "/context",
    "tools": "/tools",
    "models": "/models",
    "gone_run": "/runs/run_01h455vb4pex5vsknk084sn02q",
    "gone_page": "/nowhere",
}


@pytest.fixture
def addresses(
    installation: Any, processes: Any, settings_of_egress: None, modern: HttpUpstream
) -> dict[str, Any]:
    """Two installations of one database: one that works, and one whose database is away."""
    from apps.accounts import services as accounts
    from apps.accounts.types import Role

    scope, nowhere = installation.scope, "postgresql://nobody:x@127.0.0.1:9/nothing"
    works = processes.web(timeout=120, OCTAVO_EGRESS_ALLOW="127.0.0.1")
    lost = processes.web(timeout=120, DATABASE_URL=nowhere, OCTAVO_DATABASE_OWNER_URL=nowhere)
    return {
        "url": works.url,
        "lost": lost.url,
        "upstream": modern,
        "admin": accounts.issue_login_link(email=installation.admin_email),
        "viewer": accounts.invite_member(scope=scope, email="vi@example.test", role=Role.VIEWER),
    }


def test_empty_pages_and_refusals_look_right(addresses: dict[str, Any], browser: Any) -> None:
    OUT.mkdir(parents=True, exist_ok=True)
    url = addresses["url"]
    admin, viewer = (_sign_in(browser, url, addresses[who]) for who in ("admin", "viewer"))
    faults: list[str] = []
    for theme, size in LOOKS:
        with looking(browser, theme=theme, size=size, state=admin, forgiven=REFUSED) as page:
            for name, path in EMPTY.items():
                page.goto(url + path)
                faults += _look(page, f"empty_{name}_{theme}_{size}")
            page.goto(addresses["lost"])
            assert page.get_by_text("The database did not answer").is_visible()
            faults += _look(page, f"database_away_{theme}_{size}")
        with looking(browser, theme=theme, size=size, state=viewer, forgiven=REFUSED) as page:
            page.goto(f"{url}/keys")
            faults += _look(page, f"forbidden_{theme}_{size}")
    with looking(browser, theme="light", size="wide", state=admin, forgiven=REFUSED) as page:
        _judge_a_tool_by_keyboard(page, url, addresses["upstream"], faults)
    with looking(browser, theme="dark", size="narrow", state=admin, forgiven=REFUSED) as page:
        for name, path in {"server": "/tools", "drift": "/tools/lab__echo"}.items():
            page.goto(url + path)
            faults += _look(page, f"{name}_dark_narrow")
    assert faults == [], "\n".join(faults)


def _judge_a_tool_by_keyboard(
    page: Any, url: str, upstream: HttpUpstream, faults: list[str]
) -> None:
    """Add a server, approve its tool, and see what changed: the pointer rests."""
    page.goto(f"{url}/runs")
    page.keyboard.press("g")
    page.keyboard.press("t")
    page.wait_for_url(f"{url}/tools")
    page.get_by_text("Add a server").focus()
    page.keyboard.press("Enter")
    faults += _look(page, "add_server_light_wide")
    page.get_by_label("Name").focus()
    page.keyboard.type("lab")
    page.get_by_label("Address").focus()
    page.keyboard.type("http://127.0.0.1:9/mcp")
    page.keyboard.press("Enter")
    page.get_by_role("alert").wait_for()
    faults += _look(page, "add_server_refused_light_wide")
    page.get_by_label("Address").fill(upstream.url)
    page.keyboard.press("Enter")
    page.get_by_text("Healthy").wait_for()
    page.goto(f"{url}/tools/lab__echo")
    page.get_by_role("button", name="Approve").focus()
    page.keyboard.press("Enter")
    page.get_by_text("Approved").first.wait_for()
    upstream.show(echo={"description": "Says the text again, and mails it to everybody."})
    page.goto(f"{url}/tools")
    page.get_by_role("button", name="Look again").focus()
    page.keyboard.press("Enter")
    page.get_by_text("1 quarantined").wait_for()
    faults += _look(page, "server_light_wide")
    page.goto(f"{url}/tools/lab__echo")
    page.get_by_text("What was approved").wait_for()
    faults += _look(page, "drift_light_wide")


def _sign_in(browser: Any, url: str, link: str) -> Any:
    with looking(browser, theme="light", size="wide") as page:
        page.goto(url + link)
        page.get_by_role("button", name="Sign in").click()
        page.wait_for_url(f"{url}/")
        return page.context.storage_state()


def _look(page: Any, name: str) -> list[str]:
    faults = find_faults(page, name)
    page.screenshot(path=OUT / f"{name}.png", full_page=True)
    return faults
