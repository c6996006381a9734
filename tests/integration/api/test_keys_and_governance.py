"""Keys narrow what may be done, refusals name their policy, and asking does not act."""

from collections.abc import Callable
from typing import Any


def test_a_key_reaches_only_as_far_as_its_scopes(
    api: Any, agent: str, with_key: Callable[[str], Any]
) -> None:
    issued = api.post("keys", {"name": "ci", "scopes": ["run.read"]})
    assert issued.status == 201
    assert issued.body["id"].startswith("key_")
    assert issued.body["key"].startswith(issued.body["prefix"].rstrip("…"))
    narrow = with_key(issued.body["key"])
    assert narrow.get("runs").status == 200
    refused = narrow.post("runs", {"agent": "clerk", "input": "x"}).problem()
    assert refused["status"] == 403
    assert refused["policies"]


def test_a_key_says_what_it_may_do(api: Any) -> None:
    for body in ({"name": "ci"}, {"name": "ci", "scopes": None}):
        refused = api.post("keys", body).problem()
        assert refused["status"] == 422
        (error,) = refused["errors"]
        assert error["path"] == "/scopes"
        assert "run.start" in error["detail"]
        assert "*" in error["detail"]


def test_a_revoked_key_opens_nothing(api: Any, with_key: Callable[[str], Any]) -> None:
    issued = api.post("keys", {"name": "ci", "scopes": ["*"]}).body
    assert with_key(issued["key"]).get("agents").status == 200
    revoked = api.delete(f"keys/{issued['id']}")
    assert (revoked.status, revoked.body["revoked_at"] is not None) == (200, True)
    assert with_key(issued["key"]).get("agents").problem()["status"] == 401
    listed = api.get("keys").body["items"]
    assert "key" not in listed[0]
    assert issued["key"] not in str(listed)


def test_a_viewer_service_reads_and_does_no_more(
    api: Any, agent: str, with_key: Callable[[str], Any]
) -> None:
    service = api.post("services", {"name": "dashboard", "role": "viewer"}).body
    assert service["id"].startswith("svc_")
    body = {"name": "dashboard", "principal": service["id"], "scopes": ["*"]}
    issued = api.post("keys", body).body
    assert issued["principal"] == {"id": service["id"], "kind": "service", "name": "dashboard"}
    viewer = with_key(issued["key"])
    assert viewer.get("runs").status == 200
    refused = viewer.post("runs", {"agent": "clerk", "input": "x"}).problem()
    assert refused["status"] == 403
    assert refused["policies"]
    assert viewer.post("keys", {"name": "more", "scopes": ["*"]}).problem()["status"] == 403


def test_a_refusal_is_kept_although_an_idempotency_key_was_sent(
    api: Any, agent: str, with_key: Callable[[str], Any]
) -> None:
    from apps.governance.models import DecisionRow

    narrow = with_key(api.post("keys", {"name": "ci", "scopes": ["run.read"]}).body["key"])
    narrow.post("runs", {"agent": "clerk", "input": "x"}, Idempotency_Key="k")
    assert DecisionRow.objects.filter(action="run.start", outcome="deny").count() == 1


def test_asking_policy_does_not_act(api: Any, agent: str) -> None:
    from apps.governance.models import DecisionRow

    answer = api.post(
        "decisions",
        {
            "principal": "agent:clerk",
            "action": "model.call",
            "resource": {"kind": "Route", "name": "default"},
        },
    )
    assert answer.status == 200
    assert answer.body["decision"] == "allow"
    refused = api.post(
        "decisions",
        {
            "principal": "agent:clerk",
            "action": "model.call",
            "resource": {"kind": "Route", "name": "embedding"},
        },
    ).body
    assert refused["decision"] == "deny"
    assert refused["explain"]
    assert api.get("runs").body["items"] == []
    assert not DecisionRow.objects.filter(action="model.call", principal_name="clerk").exists()


def test_the_audit_chain_is_whole(api: Any, agent: str) -> None:
    check = api.get("audit/verify").body
    assert check["ok"] is True
    assert check["checked"] > 0


def test_approvals_are_listed(api: Any) -> None:
    assert api.get("approvals?status=pending").body == {"items": [], "next_cursor": None}
    assert api.get("approvals?status=odd").problem()["status"] == 422


def test_a_credential_goes_in_and_never_comes_out(api: Any) -> None:
    body = {"name": "vendor", "kind": "openai", "api_key": "sk-very-secret"}
    created = api.post("models/providers", body, Idempotency_Key="k")
    assert created.body["has_api_key"] is True
    shown = [created.body, api.get("models/providers").body]
    assert "sk-very-secret" not in str(shown)


def test_routes_and_models_are_listed(api: Any, models: Any) -> None:
    routes = {route["name"]: route for route in api.get("models/routes").body["items"]}
    assert routes["default"]["targets"] == [
        {"provider": "lab", "model": "chat", "tier": routes["default"]["tier"]}
    ]
    found = api.get("models?limit=1").body
    assert found["next_cursor"]
    rest = api.get(f"models?limit=1&cursor={found['next_cursor']}").body
    assert {found["items"][0]["name"], rest["items"][0]["name"]} == {"chat", "embed"}


def test_tools_are_listed_and_searched(api: Any) -> None:
    names = {tool["name"] for tool in api.get("tools").body["items"]}
    assert {"context_search", "context_open"} <= names
    found = {tool["name"] for tool in api.get("tools?query=search").body["items"]}
    assert "context_search" in found
    assert api.get("tools?query=zzzz").body["items"] == []
    seen, cursor = [], ""
    while cursor is not None:
        found = api.get(f"tools?limit=1&cursor={cursor}").body
        seen += [tool["name"] for tool in found["items"]]
        cursor = found["next_cursor"]
    assert seen == sorted(names)
