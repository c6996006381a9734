"""Budgets are set, read, changed and deleted over REST; usage adds up to what was booked."""

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from apps.api import problems
from apps.inference.services import chat
from apps.inference.types import ChatRequest, Message
from octavo.kernel.clock import now, rfc3339
from octavo.kernel.errors import BudgetExceeded
from tests.integration.api.conftest import Api
from tests.integration.inference.upstream import Upstream

NO_AGENT = "agt_01h455vb4pex5vsknk084sn02q"
HELLO = ChatRequest(messages=(Message(role="user", content="Hello?"),), max_tokens=50)


def call(scope: Any, times: int = 1) -> None:
    for _ in range(times):
        chat.complete(scope=scope, route="default", request=HELLO)


def audited(api: Api) -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT action FROM audit_entry WHERE action LIKE 'budget.%' ORDER BY seq")
        return [action for (action,) in cursor.fetchall()]


def test_a_budget_is_set_read_changed_and_deleted(
    api: Api, models: Upstream, installation: Any
) -> None:
    wish = {"scope": {"project": "default"}, "period": "day", "limit_usd": "2.5", "limit_calls": 2}
    made = api.post("budgets", wish)
    assert made.status == 201, made.body
    budget = made.body
    assert budget["scope"] == {"project": budget["scope"]["project"]}
    assert budget["scope"]["project"].startswith("prj_")
    assert budget["left"] == {"usd": "2.5", "tokens": None, "calls": 2}
    assert (budget["limit_tokens"], budget["on_exceed"]) == (None, "block")
    call(installation.scope, 2)
    read = api.get(f"budgets/{budget['id']}").body
    assert read["spent"] == {"usd": "0", "tokens": 36, "calls": 2}
    assert read["reserved"] == {"usd": "0", "tokens": 0, "calls": 0}
    assert read["left"]["calls"] == 0
    assert read["resets_at"] > rfc3339(now())
    with pytest.raises(BudgetExceeded):
        call(installation.scope)
    changed = api.request("PATCH", f"budgets/{budget['id']}", {"limit_calls": 3})
    assert (changed.status, changed.body["limit_calls"], changed.body["limit_usd"]) == (
        200,
        3,
        "2.5",
    )
    call(installation.scope)
    assert api.get("budgets").body["items"][0]["id"] == budget["id"]
    assert api.delete(f"budgets/{budget['id']}").status == 204
    call(installation.scope)
    assert api.get(f"budgets/{budget['id']}").status == 404
    assert audited(api) == ["budget.set", "budget.set", "budget.deleted"]


def test_a_second_budget_of_the_same_thing_and_period_names_the_first(api: Api) -> None:
    wish = {"scope": {"team": "default"}, "period": "month", "limit_tokens": 10}
    first = api.post("budgets", wish).body
    second = api.post("budgets", wish)
    assert second.status == 409
    assert second.body["head"] == first["id"]
    assert api.post("budgets", wish | {"period": "total"}).body["resets_at"] is None


def test_every_scope_is_named_by_id_or_by_name(api: Api, agent: str, installation: Any) -> None:
    key = installation.issued_key.key
    run = api.post("runs", {"agent": agent, "input": "Hello?"}).body["id"]
    agent_id = api.get(f"agents/{agent}").body["id"]
    names = [
        ("organisation", "default"),
        ("agent", agent),
        ("key", key.name),
        ("run", run),
    ]
    for on, name in names:
        made = api.post("budgets", {"scope": {on: name}, "period": "total", "limit_calls": 5})
        assert made.status == 201, made.body
        again = {"scope": made.body["scope"], "period": "day", "limit_calls": 5}
        assert api.post("budgets", again).status == 201
    listed = api.get("budgets").body["items"]
    assert [next(iter(item["scope"])) for item in listed] == [
        on for on in ("key", "agent", "organisation") for _ in range(2)
    ]
    assert listed[2]["scope"] == {"agent": agent_id}


@pytest.mark.parametrize(
    ("wish", "status", "path"),
    [
        ({"scope": {}, "period": "day", "limit_calls": 1}, 422, "/scope"),
        (
            {"scope": {"project": "a", "team": "b"}, "period": "day", "limit_calls": 1},
            422,
            "/scope",
        ),
        ({"scope": {"project": "default"}, "period": "day"}, 422, ""),
        ({"scope": {"project": "default"}, "period": "year", "limit_calls": 1}, 422, "/period"),
        (
            {"scope": {"project": "default"}, "period": "day", "limit_calls": -1},
            422,
            "/limit_calls",
        ),
        ({"scope": {"project": "other"}, "period": "day", "limit_calls": 1}, 404, None),
        ({"scope": {"agent": "nobody"}, "period": "day", "limit_calls": 1}, 404, None),
        ({"scope": {"key": "nothing"}, "period": "day", "limit_calls": 1}, 404, None),
        (
            {
                "scope": {"agent": "agt_01h455vb4pex5vsknk084sn02q"},
                "period": "day",
                "limit_calls": 1,
            },
            404,
            None,
        ),
    ],
)
def test_a_wish_that_cannot_be_is_refused(
    api: Api, wish: dict[str, Any], status: int, path: str | None
) -> None:
    refused = api.post("budgets", wish)
    assert refused.status == status
    if path is not None:
        assert refused.problem()["errors"][0]["path"] == path


def test_only_who_may_manage_budgets_sets_them(api: Api, with_key: Any) -> None:
    narrow = api.post("keys", {"name": "narrow", "scopes": ["run.read"]}).body["key"]
    wish = {"scope": {"project": "default"}, "period": "day", "limit_calls": 1}
    refused = with_key(narrow).post("budgets", wish)
    assert refused.status == 403
    budget = api.post("budgets", wish).body["id"]
    for method, body in (("PATCH", {"limit_calls": 9}), ("DELETE", None)):
        assert with_key(narrow).request(method, f"budgets/{budget}", body).status == 403
    assert with_key(narrow).get(f"budgets/{budget}").body["limit_calls"] == 1


def test_a_full_budget_is_a_problem_that_names_it(
    api: Api, models: Upstream, installation: Any
) -> None:
    wish = {"scope": {"project": "default"}, "period": "day", "limit_calls": 0}
    budget = api.post("budgets", wish).body["id"]
    with pytest.raises(BudgetExceeded) as caught:
        call(installation.scope)
    refused = problems.of_error(caught.value)
    problem = refused.body()
    assert (refused.status, problem["type"]) == (429, "urn:octavo:problem:budget-exceeded")
    assert problem["budget"]["id"] == budget
    assert problem["budget"]["calls"] == {"limit": 0, "spent": 0, "reserved": 0}
    assert budget in problem["detail"]
    assert 0 < int(refused.headers["Retry-After"]) <= 86_400


def test_a_list_of_budgets_takes_as_many_queries_however_long_it_is(api: Api) -> None:
    counts = []
    for period in ("day", "month", "total"):
        for on in ("project", "team", "organisation"):
            api.post("budgets", {"scope": {on: "default"}, "period": period, "limit_calls": 1})
        with CaptureQueriesContext(connection) as queries:
            api.get("budgets")
        counts.append(len(queries))
    assert counts[0] == counts[-1]
    page = api.get("budgets?limit=4").body
    rest = api.get(f"budgets?limit=50&cursor={page['next_cursor']}").body
    assert len(page["items"]) + len(rest["items"]) == 9


def test_usage_adds_up_by_whatever_one_wants_to_know_it_by(
    api: Api, models: Upstream, agent: str, advance: Any, installation: Any
) -> None:
    run = api.post("runs", {"agent": agent, "input": "Hello?"}).body["id"]
    advance(run)
    call(installation.scope, 2)
    expected = {"calls": 3, "input_tokens": 33, "output_tokens": 21, "cost_usd": "0"}
    groups = {
        "model": ["lab/chat"],
        "route": ["default"],
        "day": [rfc3339(now() - timedelta(0))[:10]],  # type: ignore[index]
    }
    for group_by, names in groups.items():
        answer = api.get(f"usage?group_by={group_by}").body
        assert [item["group"] for item in answer["items"]] == names
        assert answer["total"] == expected
        assert {name: answer["items"][0][name] for name in expected} == expected
    by_agent = api.get("usage?group_by=agent").body["items"]
    assert [(item["name"], item["calls"]) for item in by_agent] == [(None, 2), (agent, 1)]
    assert [item["group"] is None for item in by_agent] == [True, False]
    assert api.get("usage?group_by=project").body["items"][0]["group"].startswith("prj_")
    assert api.get("usage?group_by=key").status == 200
    tomorrow = rfc3339(now() + timedelta(days=1))
    later = api.get(f"usage?from={tomorrow}").body
    assert (later["items"], later["total"]["calls"]) == ([], 0)
    assert api.get("usage?group_by=mood").status == 422
    first = api.get("usage?group_by=agent&limit=1").body
    second = api.get(f"usage?group_by=agent&limit=1&cursor={first['next_cursor']}").body
    assert [first["items"][0]["calls"], second["items"][0]["calls"]] == [2, 1]
    assert second["next_cursor"] is None
