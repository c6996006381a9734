"""Schedules, hooks and event triggers over REST, and a webhook as its sender sees it."""

import hashlib
import hmac
from typing import Any

import orjson
import pytest

from tests.integration.api.test_schema import check, schema

SECRET = "a-long-random-secret"
SCHEDULE = {"agent": "clerk", "input": "Report.", "cron": "0 9 * * 1-5", "name": "daily"}
HOOK = {"agent": "clerk", "secret": SECRET, "name": "issues"}
ON_RUN = {"agent": "clerk", "on": "run_finished", "match": {"statuses": ["failed"]}}


def _sign(body: bytes) -> dict[str, str]:
    mac = hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
    return {"X_Hub_Signature_256": f"sha256={mac}"}


@pytest.mark.parametrize(
    ("path", "body", "change", "record"),
    [
        ("schedules", SCHEDULE, {"every_seconds": 600, "cron": None}, "firings"),
        ("hooks", HOOK, {"input_path": "/issue"}, "deliveries"),
        ("event-triggers", ON_RUN, {"match": {"agent": "clerk"}}, "firings"),
    ],
)
def test_a_trigger_is_made_found_changed_held_and_deleted(
    api: Any, agent: str, path: str, body: Any, change: Any, record: str
) -> None:
    paths = schema()["paths"]
    made = api.post(path, body, Idempotency_Key="one")
    assert made.status == 201, made.body
    again = api.post(path, body, Idempotency_Key="one")
    assert again.body["id"] == made.body["id"]
    one = f"{path}/{made.body['id']}"
    found = api.get(one)
    assert found.body["state"] == "active"
    whole = paths[f"/api/v1/{path}/{{trigger_id}}"]["get"]["responses"]["200"]["content"]
    check(whole["application/json"]["schema"], found.body)
    assert api.get(f"{path}?agent=clerk&state=active").body["items"] == [found.body]
    assert api.get(f"{path}?agent=nobody").body["items"] == []
    changed = api.request("PATCH", one, change)
    assert changed.status == 200, changed.body
    assert changed.body != found.body
    assert api.request("PATCH", one, {"odd": 1}).problem()["status"] == 422
    assert api.post(f"{one}/pause").body["state"] == "paused"
    assert api.get(f"{path}?state=paused").body["items"][0]["id"] == made.body["id"]
    assert api.post(f"{one}/resume").body["state"] == "active"
    assert api.get(f"{one}/{record}").body == {"items": [], "next_cursor": None}
    assert api.delete(one).status == 204
    assert api.get(one).problem()["status"] == 404


def test_a_schedule_is_run_at_once_and_its_runs_are_listed(api: Any, agent: str) -> None:
    made = api.post("schedules", SCHEDULE | {"timezone": "Europe/Berlin"}).body
    assert len(made["next_runs"]) == 5
    assert (made["overlap"], made["missed"]) == ("skip", "run_once")
    firing = api.post(f"schedules/{made['id']}/run")
    assert (firing.status, firing.body["outcome"]) == (201, "started")
    (run,) = api.get(f"runs?triggered_by={made['id']}").body["items"]
    assert (run["id"], run["triggered_by"]) == (firing.body["run"], made["id"])
    assert api.get(f"schedules/{made['id']}").body["last_firing"] == firing.body
    assert api.get(f"schedules/{made['id']}/firings?outcome=started").body["items"]
    assert api.get(f"schedules/{made['id']}/firings?outcome=odd").status == 422


def test_a_webhook_needs_a_signature_and_no_key(api: Any, stranger: Any, agent: str) -> None:
    made = api.post("hooks", HOOK, Idempotency_Key="one").body
    assert made["secret"] == SECRET
    assert made["url"].endswith(f"/api/v1/hooks/{made['token']}")
    assert api.post("hooks", HOOK, Idempotency_Key="one").body["token"] is None
    assert made["token"] not in orjson.dumps(api.get("hooks").body).decode()
    call, body = f"hooks/{made['token']}", orjson.dumps({"issue": "The door is stuck"})

    assert stranger.post(call, body).problem()["status"] == 401
    assert stranger.post("hooks/whk_unknown", body, **_sign(body)).problem()["status"] == 404
    first = stranger.post(call, body, **_sign(body))
    assert (first.status, first.body["status"]) == (201, "queued")
    replay = stranger.post(call, body, **_sign(body))
    assert replay.body["id"] == first.body["id"]
    assert replay.headers["Idempotency-Replayed"] == "true"
    text = stranger.request("POST", call, b"hi", content_type="text/plain", **_sign(b"hi"))
    assert api.get(f"runs/{text.body['id']}").body["input"] == {"text": "hi"}
    large = b"x" * 1_000_000
    assert stranger.post(call, large, **_sign(large)).problem()["status"] == 413

    outcomes = [one["outcome"] for one in api.get(f"hooks/{made['id']}/deliveries").body["items"]]
    assert outcomes == ["refused", "started", "started", "refused"]
    assert stranger.get(f"hooks/{made['id']}").status == 401
    fresh = api.post(f"hooks/{made['id']}/rotate", {"grace_seconds": 0}).body
    assert fresh["secret"].startswith("whsec_")
    assert stranger.post(call, b"{}", **_sign(b"{}")).status == 401


WRONG = [
    ("schedules", {"agent": "clerk", "input": "x"}, "/cron"),
    ("schedules", SCHEDULE | {"cron": "0 9 * *"}, "/cron"),
    ("schedules", SCHEDULE | {"timezone": "Mars"}, "/timezone"),
    ("schedules", SCHEDULE | {"overlap": "odd"}, "/overlap"),
    ("schedules", SCHEDULE | {"input": 3}, "/input"),
    ("schedules", SCHEDULE | {"input": ""}, "/input"),
    ("schedules", {"agent": "clerk", "input": "x", "every_seconds": 0}, "/every_seconds"),
    ("hooks", HOOK | {"secret": "short"}, "/secret"),
    ("hooks", HOOK | {"input_path": "x"}, "/input_path"),
    ("event-triggers", {"agent": "clerk", "on": "odd"}, "/on"),
    ("event-triggers", {"agent": "clerk", "on": "entry_written"}, "/match/space"),
    ("event-triggers", ON_RUN | {"match": {"statuses": ["running"]}}, "/match/statuses/0"),
]


def test_what_is_wrong_is_named_by_pointer(api: Any, agent: str) -> None:
    found = [api.post(path, body).problem() for path, body, _ in WRONG]
    assert {problem["status"] for problem in found} == {422}
    assert [problem["errors"][0]["path"] for problem in found] == [where for *_, where in WRONG]


def test_unknown_agents_and_ids_are_not_found(api: Any, agent: str) -> None:
    assert api.post("schedules", SCHEDULE | {"agent": "nobody"}).problem()["status"] == 404
    for path in ("schedules/sch_x", "hooks/hook_x", "event-triggers/trg_x", "schedules/hook_x"):
        assert api.get(path).problem()["status"] == 404


def test_a_key_without_the_right_manages_no_trigger(api: Any, with_key: Any, agent: str) -> None:
    key = api.post("keys", {"name": "runner", "scopes": ["run.*"]}).body["key"]
    refused = with_key(key).post("schedules", SCHEDULE).problem()
    assert refused["status"] == 403
    assert refused["policies"] == ["key-scope"]
