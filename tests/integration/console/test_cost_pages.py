"""Costs on the console: what was used by whom, what budgets leave, and who may set one."""

from typing import Any

from django.test import Client

from octavo.kernel import ids
from tests import runs
from tests.integration.console.test_pages import viewer
from tests.runs import Bench

LIMIT = {"on": "project", "period": "day", "limit_usd": "12.50"}


def html_of(answer: Any, status: int = 200) -> str:
    html: str = answer.content.decode()
    assert answer.status_code == status, html[:2000]
    assert " style=" not in html
    return html


def test_an_empty_page_says_what_will_be_there(admin: Client) -> None:
    html = html_of(admin.get("/costs"))
    assert "No model was called in this time" in html
    assert "None yet: nothing bounds" in html


def test_usage_is_told_by_day_agent_model_and_tool(admin: Client, bench: Bench) -> None:
    runs.save(bench.scope)
    calls = [["box_look", {"n": 1}], ["box_look", {"n": 2}], ["box_count", {"n": 3}]]
    runs.advance(bench.scope, runs.start(bench.scope, calls=calls, answer="done").id)
    html = html_of(admin.get("/costs?span=week"))
    assert 'href="/runs?agent=worker-bee"' in html
    assert "scripted/scripted" in html
    assert html.count('class="hit"') == 7
    look, count = html.index("/tools/box_look"), html.index("/tools/box_count")
    assert look < count
    assert '<td class="num">2</td>' in html[look:count]
    assert "Last 30 days" in html_of(admin.get("/costs?span=forever"))


def test_a_budget_is_set_replaced_shown_at_home_and_removed(admin: Client, bench: Bench) -> None:
    from apps.governance import selectors

    runs.save(bench.scope)
    assert admin.post("/costs/budgets", LIMIT)["Location"] == "/costs"
    assert admin.post("/costs/budgets", {**LIMIT, "limit_usd": "10"}).status_code == 302
    agents = {"on": "agent:worker-bee", "period": "month", "limit_usd": "0"}
    assert admin.post("/costs/budgets", agents).status_code == 302
    found = selectors.list_budgets(scope=bench.scope)
    assert {budget.limit_usd for budget in found} == {0, 10}
    for page in ("/costs", "/"):
        html = html_of(admin.get(page))
        assert html.index("agent worker-bee") < html.index("project default")  # is used up
        assert "$10.00" in html
    for budget in found:
        gone = f"/costs/budgets/{ids.encode(ids.Kind.BUDGET, budget.id)}/remove"
        assert admin.post(gone).status_code == 302
    assert selectors.list_budgets(scope=bench.scope) == []


def test_what_is_no_limit_is_refused_at_its_field(admin: Client) -> None:
    for wrong in ("much", "-1", "NaN", "1e30", ""):
        html = html_of(admin.post("/costs/budgets", {**LIMIT, "limit_usd": wrong}), 422)
        assert "Write US dollars as a number" in html
        assert 'id="limit_usd-error"' in html
    nobody = {**LIMIT, "on": "agent:nobody"}
    assert "nobody" in html_of(admin.post("/costs/budgets", nobody), 404)


def test_a_viewer_sees_costs_and_sets_nothing(installation: Any) -> None:
    reader = viewer(installation)
    assert "Set a budget" not in html_of(reader.get("/costs"))
    html_of(reader.post("/costs/budgets", LIMIT), 403)
