"""Agents are saved as versions; runs are started, read, listed and cancelled."""

import re
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connections

from apps.api import live


def test_an_agent_is_created_read_and_versioned(api: Any, agent: str) -> None:
    first = api.get("agents/clerk").body
    assert first["id"].startswith("agt_")
    assert first["version"] == 1
    assert first["limits"]["max_steps"] == 24
    changed = api.put("agents/clerk", {"instructions": "Answer at length."})
    assert (changed.status, changed.body["version"]) == (200, 2)
    versions = api.get("agents/clerk/versions?limit=1").body
    assert [item["version"] for item in versions["items"]] == [2]
    rest = api.get(f"agents/clerk/versions?cursor={versions['next_cursor']}").body
    assert [item["version"] for item in rest["items"]] == [1]
    assert rest["next_cursor"] is None
    assert api.get("agents/clerk?version=1").body["instructions"] == "Answer briefly."
    assert [item["name"] for item in api.get("agents").body["items"]] == ["clerk"]


def test_a_taken_name_is_a_conflict_and_a_new_version_needs_an_agent(api: Any, agent: str) -> None:
    body = {"name": "clerk", "instructions": "Other."}
    assert api.post("agents", body).problem()["status"] == 409
    assert api.put("agents/nobody", {"instructions": "x"}).problem()["status"] == 404


def test_a_run_is_started_worked_on_and_read(
    api: Any, agent: str, advance: Callable[[str], None]
) -> None:
    started = api.post("runs", {"agent": "clerk", "input": "Hello?", "metadata": {"a": [1]}})
    assert started.status == 201
    run = started.body
    assert run["status"] == "queued"
    assert run["id"].startswith("run_")
    assert run["forked_from"] is None
    advance(run["id"])
    done = api.get(f"runs/{run['id']}").body
    assert done["status"] == "succeeded"
    assert done["output"]["text"] == "Hello from upstream."
    assert done["output"]["citations"] == []
    assert done["usage"]["input_tokens"] == 11
    assert isinstance(done["usage"]["cost_usd"], str)
    assert done["metadata"] == {"a": [1]}
    assert done["finished_at"].endswith("Z")


def test_the_journal_is_read_in_pieces(
    api: Any, agent: str, advance: Callable[[str], None]
) -> None:
    run_id = api.post("runs", {"agent": "clerk", "input": "Hello?"}).body["id"]
    advance(run_id)
    whole = api.get(f"runs/{run_id}/journal").body
    assert whole["items"][0]["type"] == "run_started"
    assert whole["items"][-1]["type"] == "run_succeeded"
    first = api.get(f"runs/{run_id}/journal?limit=1").body
    rest = api.get(f"runs/{run_id}/journal?after={first['next_cursor']}").body
    assert first["items"] + rest["items"] == whole["items"]
    assert api.get(f"runs/{run_id}/journal?cursor={first['next_cursor']}").body == rest


def test_runs_are_filtered(api: Any, agent: str, advance: Callable[[str], None]) -> None:
    ids = [api.post("runs", {"agent": "clerk", "input": f"{n}"}).body["id"] for n in range(3)]
    advance(ids[0])
    listed = [item["id"] for item in api.get("runs?limit=2").body["items"]]
    assert listed == [ids[2], ids[1]]
    succeeded = api.get("runs?status=succeeded").body["items"]
    assert [item["id"] for item in succeeded] == [ids[0]]
    assert api.get("runs?agent=nobody").body["items"] == []
    assert api.get("runs?from=2001-01-01T00:00:00Z&to=2001-01-02T00:00:00Z").body["items"] == []
    assert len(api.get("runs?from=2001-01-01T00:00:00Z").body["items"]) == 3


def test_a_run_is_cancelled_and_stays_so(
    api: Any, agent: str, advance: Callable[[str], None]
) -> None:
    run_id = api.post("runs", {"agent": "clerk", "input": "Hello?"}).body["id"]
    assert api.post(f"runs/{run_id}/cancel").status == 200
    advance(run_id)
    assert api.get(f"runs/{run_id}").body["status"] == "cancelled"
    assert api.post(f"runs/{run_id}/cancel").status == 200


def test_a_wait_ends_with_its_time_and_leaves_the_run_queued(api: Any, agent: str) -> None:
    answer = api.post("runs", {"agent": "clerk", "input": "Hello?", "wait_seconds": 1})
    assert (answer.status, answer.body["status"]) == (201, "queued")


def test_a_wait_without_a_place_is_answered_at_once(
    api: Any, agent: str, advance: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "_places", threading.BoundedSemaphore(1))
    body = {"agent": "clerk", "input": "Hello?", "wait_seconds": 30}

    def wait() -> None:
        api.post("runs", body)
        connections.close_all()

    first = threading.Thread(target=wait)
    first.start()
    deadline = time.monotonic() + 10
    while live._places._value and time.monotonic() < deadline:
        threading.Event().wait(0.02)
    began = time.monotonic()
    second = api.post("runs", body)
    assert time.monotonic() - began < 10
    assert (second.status, second.body["status"]) == (201, "queued")
    for run in api.get("runs").body["items"]:
        advance(run["id"])
    first.join(20)
    assert live._places._value == 1


def test_an_agent_does_not_chat_over_a_route_for_embeddings(api: Any, models: Any) -> None:
    body = {"name": "clerk", "instructions": "Answer.", "route": "embedding"}
    refused = api.post("agents", body).problem()
    assert refused["status"] == 422
    assert [error["path"] for error in refused["errors"]] == ["/route"]
    assert "embedding" in refused["detail"]


def test_a_trace_shows_the_run_with_its_spans_decisions_and_usage(
    api: Any, agent: str, advance: Callable[[str], None]
) -> None:
    run = api.post("runs", {"agent": "clerk", "input": "Hello?"}).body
    untouched = api.get(f"traces/{run['trace_id']}").body["spans"]
    assert [span["attributes"]["octavo.cost_usd"] for span in untouched] == ["0"]
    advance(run["id"])
    trace = api.get(f"traces/{run['trace_id']}").body
    assert trace["run"]["id"] == run["id"]
    assert {span["trace_id"] for span in trace["spans"]} == {run["trace_id"]}
    costs = [span["attributes"]["octavo.cost_usd"] for span in trace["spans"]]
    assert costs
    assert all(re.fullmatch(r"\d+(\.\d+)?", cost) for cost in costs)
    assert [call["kind"] for call in trace["usage"]] == ["chat"]
    assert {decision["action"] for decision in trace["decisions"]} >= {"model.call"}
