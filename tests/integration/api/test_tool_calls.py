"""A tool is called over REST: answered when it is done, and made once per Idempotency-Key."""

import os
from pathlib import Path
from typing import Any

import pytest

from tests import toolbox


@pytest.fixture(autouse=True)
def box(tmp_path: Path) -> None:
    """The test tools, leaving their trail in a folder of this test."""
    os.environ[toolbox.FOLDER] = str(tmp_path)
    toolbox.register()


def test_a_tool_s_answer_comes_with_its_run_and_decision(api: Any) -> None:
    answer = api.post("tools/box_look/call", {"arguments": {"n": 4}})
    assert answer.status == 200, answer.body
    assert answer.body["content"] == "saw 4"
    assert answer.body["structured_content"] is None
    assert answer.body["is_error"] is False
    assert answer.body["decision"] == {"outcome": "allow", "policies": ["role-admin"]}
    run = answer.body["run"]
    assert (run["tool"], run["agent"], run["version"]) == ("box_look", None, None)
    assert run["status"] == "succeeded"
    assert run["output"]["text"] == "saw 4"
    assert api.get(f"traces/{run['trace_id']}").status == 200
    assert api.get("runs").body["items"][0]["id"] == run["id"]


def test_wrong_arguments_are_named_by_their_path(api: Any) -> None:
    problem = api.post("tools/box_look/call", {"arguments": {"n": "x"}}).problem()
    assert problem["status"] == 422
    assert problem["errors"][0]["path"] == "/arguments/n"


def test_an_unknown_tool_and_odd_bodies_are_refused(api: Any) -> None:
    assert api.post("tools/nothing/call", {}).problem()["status"] == 404
    assert api.post("tools/box_look/call", {"arguments": [1]}).problem()["status"] == 422
    assert api.post("tools/box_look/call", {"argument": {}}).problem()["status"] == 422
    assert api.post("tools/box_look/call", b"{").problem()["status"] == 400


@pytest.mark.parametrize("in_body", [True, False])
def test_the_same_idempotency_key_makes_the_call_once(api: Any, in_body: bool) -> None:
    body: dict[str, Any] = {"arguments": {"n": 1}}
    headers = {} if in_body else {"Idempotency_Key": "once"}
    body |= {"idempotency_key": "once"} if in_body else {}
    first = api.post("tools/box_keyed/call", body, **headers)
    second = api.post("tools/box_keyed/call", body, **headers)
    assert first.status == second.status == 200, (first.body, second.body)
    assert first.body == second.body
    assert second.headers["Idempotency-Replayed"] == "true"
    assert len(toolbox.read_trail()) == 1


def test_a_call_that_takes_longer_goes_on_without_its_caller(api: Any) -> None:
    body = {"arguments": {"n": 1, "seconds": 1}, "wait_seconds": 0, "idempotency_key": "slow"}
    under_way = api.post("tools/box_look/call", body)
    assert under_way.status == 202
    assert under_way.body["run"]["status"] == "running"
    assert under_way.body["content"] is None
    done = api.post("tools/box_look/call", {**body, "wait_seconds": 30})
    assert done.status == 409  # the same key with another body is another request
    run_id = under_way.body["run"]["id"]
    from tests.runs import eventually

    eventually(lambda: api.get(f"runs/{run_id}").body["status"] == "succeeded")


def test_a_call_that_needs_approval_waits_and_is_made_after_it(api: Any, advance: Any) -> None:
    service = api.post("services", {"name": "robot", "role": "member"}).body["id"]
    made = api.post("keys", {"name": "robot", "principal": service, "scopes": ["*"]}).body["key"]
    robot = type(api)(made)
    waiting = robot.post("tools/box_launch/call", {"arguments": {"n": 1}})
    assert waiting.status == 202
    assert waiting.body["decision"]["outcome"] == "require_approval"
    run = waiting.body["run"]
    assert run["waiting_on"]["kind"] == "approval"
    approval = run["waiting_on"]["id"]
    assert robot.post(f"approvals/{approval}/decide", {"decision": "approve"}).status == 403
    decided = api.post(f"approvals/{approval}/decide", {"decision": "approve"})
    assert decided.body["status"] == "approved"
    from apps.orchestration.services import upkeep

    upkeep.redeliver_approvals()
    advance(run["id"])
    assert api.get(f"runs/{run['id']}").body["output"]["text"] == "sent 1"
    assert len(toolbox.read_trail()) == 1


def test_a_key_that_does_not_cover_tools_is_refused_by_name(api: Any) -> None:
    narrow = api.post("keys", {"name": "narrow", "scopes": ["run.read"]}).body["key"]
    problem = type(api)(narrow).post("tools/box_look/call", {"arguments": {"n": 1}}).problem()
    assert (problem["status"], problem["policies"]) == (403, ["key-scope"])
