"""Loops outside: their runs are reported, counted, cancelled and ended when nobody is heard of."""

from collections.abc import Callable
from typing import Any

import pytest
from django.conf import settings

ANSWERED = {
    "step_key": "agent.1",
    "type": "model_answered",
    "data": {
        "model": "gpt",
        "messages": [{"role": "user", "content": "Hello?"}],
        "tool_calls": [{"id": "c1", "name": "look", "arguments": {"n": 1}}],
        "usage": {"input_tokens": 20, "output_tokens": 5, "cost_usd": "0.01"},
        "took_seconds": 1.5,
    },
}
TOOL = {
    "step_key": "tools.1",
    "type": "tool_answered",
    "data": {"tool": "look", "arguments": {"n": 1}, "content": "saw 1"},
}
NOTE = {"step_key": "n.1", "type": "note", "data": {"text": "Half way."}}
END = {"type": "run_succeeded", "data": {"output": {"text": "It is 1.", "data": {"n": 1}}}}


@pytest.fixture
def outside(api: Any, agent: str) -> str:
    body = {"agent": "clerk", "input": "Hello?", "external": True, "wait_seconds": 9}
    run = api.post("runs", body)
    assert run.status == 201, run.body
    assert (run.body["status"], run.body["external"]) == ("running", True)
    return str(run.body["id"])


def test_a_loop_outside_reports_its_run_once_however_often_it_says_so(
    api: Any, outside: str, advance: Callable[[str], None]
) -> None:
    from apps.orchestration.services import upkeep

    first = api.post(f"runs/{outside}/journal", {"events": [ANSWERED, TOOL]})
    assert first.status == 200, first.body
    assert (first.body["accepted"], first.body["repeated"]) == (2, 0)
    assert first.body["cancel_requested"] is False
    advance(outside)  # what a stray hint does: nothing
    assert upkeep.reap() == 0
    again = api.post(f"runs/{outside}/journal", {"events": [ANSWERED, TOOL, NOTE]}).body
    assert (again["accepted"], again["repeated"]) == (1, 2)
    assert again["run"]["status"] == "running"
    other = {**TOOL, "data": {**TOOL["data"], "content": "saw 2"}}
    refused = api.post(f"runs/{outside}/journal", {"events": [other]}).problem()
    assert refused["status"] == 409
    assert (refused["recorded"], "tools.1" in refused["detail"]) == (3, True)

    ended = api.post(f"runs/{outside}/journal", {"events": [END]}).body["run"]
    assert ended["status"] == "succeeded"
    assert ended["output"] == {"text": "It is 1.", "citations": [], "data": {"n": 1}}
    assert ended["usage"] == {"input_tokens": 20, "output_tokens": 5, "cost_usd": "0.01"}
    assert ended["steps"] == 2
    assert api.post(f"runs/{outside}/journal", {"events": [END]}).body["repeated"] == 1
    late = {**NOTE, "step_key": "n.2"}
    assert api.post(f"runs/{outside}/journal", {"events": [late]}).problem()["status"] == 409

    journal = api.get(f"runs/{outside}/journal").body["items"]
    assert [event["type"] for event in journal] == [
        "run_started",
        "model_answered",
        "tool_answered",
        "note",
        "run_succeeded",
    ]
    assert journal[2]["data"]["trust"] == "untrusted"
    spans = api.get(f"traces/{ended['trace_id']}").body["spans"]
    assert {span["name"] for span in spans} >= {"chat gpt", "execute_tool look"}
    why = api.get(f"runs/{outside}/why").body["decisions"]
    assert why[0]["chosen"] == {"tool": "look", "arguments": {"n": 1}}
    for act in ("replay", "fork"):
        body = {"at_step": "tools.1"} if act == "fork" else None
        assert api.post(f"runs/{outside}/{act}", body).problem()["status"] == 409


@pytest.mark.parametrize(
    ("event", "path"),
    [
        ({"step_key": "a", "type": "model_answered", "data": {}}, "/events/0/data/model"),
        ({"step_key": "a", "type": "tool_answered", "data": {"tool": 1}}, "/events/0/data/tool"),
        ({"step_key": "a", "type": "note", "data": {"words": "x"}}, "/events/0/data/words"),
        (
            {
                "step_key": "a",
                "type": "model_answered",
                "data": {"model": "m", "usage": {"cost_usd": "NaN"}},
            },
            "/events/0/data/usage/cost_usd",
        ),
        ({"step_key": "a", "type": "run_quarantined", "data": {}}, "/events/0/type"),
    ],
)
def test_a_wrong_report_is_refused_with_its_path(
    api: Any, outside: str, event: dict[str, Any], path: str
) -> None:
    problem = api.post(f"runs/{outside}/journal", {"events": [NOTE, event]})
    where = path.replace("/0/", "/1/")
    assert [error["path"] for error in problem.problem()["errors"]] == [where]
    assert len(api.get(f"runs/{outside}/journal").body["items"]) == 1


def test_a_cancelled_loop_is_told_and_a_silent_one_is_ended(
    api: Any, outside: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from apps.orchestration.services import upkeep
    from octavo.kernel import sql

    assert api.post(f"runs/{outside}/pause").problem()["status"] == 409
    assert api.post(f"runs/{outside}/cancel").status == 200
    told = api.post(f"runs/{outside}/journal", {"events": [NOTE]}).body
    assert told["cancel_requested"] is True
    assert upkeep.end_silent() == 0
    ago = "UPDATE run SET heard_at = now() - interval '90 s' RETURNING id"
    sql.run(ago)
    assert upkeep.end_silent() == 1
    assert api.get(f"runs/{outside}").body["status"] == "cancelled"

    second = api.post("runs", {"agent": "clerk", "input": "Hi", "external": True}).body["id"]
    sql.run(ago)
    assert upkeep.end_silent() == 0
    monkeypatch.setattr(settings, "EXTERNAL_IDLE_SECONDS", 60)
    assert upkeep.end_silent() == 1
    run = api.get(f"runs/{second}").body
    assert (run["status"], run["error"]["code"]) == ("failed", "abandoned")


def test_a_run_that_octavo_drives_takes_no_reports(api: Any, agent: str) -> None:
    run = api.post("runs", {"agent": "clerk", "input": "Hello?"}).body["id"]
    assert api.post(f"runs/{run}/journal", {"events": [NOTE]}).problem()["status"] == 409


def test_a_step_has_one_result_and_every_event_a_step(api: Any, outside: str) -> None:
    twice = {**TOOL, "step_key": "agent.1"}
    answer = api.post(f"runs/{outside}/journal", {"events": [ANSWERED, twice]})
    assert answer.problem()["status"] == 409
    nameless = {**NOTE, "step_key": ""}
    problem = api.post(f"runs/{outside}/journal", {"events": [nameless]}).problem()
    assert [error["path"] for error in problem["errors"]] == ["/events/0/step_key"]
    assert len(api.get(f"runs/{outside}/journal").body["items"]) == 1
