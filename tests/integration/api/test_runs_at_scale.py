"""Over REST: runs are filtered, done again, handled in bulk, explained and limited."""

from collections.abc import Callable
from typing import Any


def start(api: Any, **given: Any) -> str:
    answer = api.post("runs", {"agent": "clerk", "input": "Hello?", **given})
    assert answer.status == 201, answer.body
    return str(answer.body["id"])


def ids_of(answer: Any) -> list[str]:
    assert answer.status == 200, answer.body
    return [item["id"] for item in answer.body["items"]]


def test_runs_are_found_by_what_they_were_started_with(api: Any, agent: str) -> None:
    tagged = start(api, tags=["nightly"], metadata={"customer": "acme"}, priority="high")
    other = start(api, session="chat-1")
    assert api.get(f"runs/{tagged}").body["priority"] == "high"
    for query, expected in (
        ("tag=nightly", [tagged]),
        ("tag=nightly,other", []),
        ("metadata.customer=acme", [tagged]),
        ("metadata.customer=acme&tag=nightly&status=queued&agent=clerk&roots=true", [tagged]),
        ("session=chat-1&max_cost=0", [other]),
        ("min_cost=0.01", []),
        ("error=deadline", []),
        (f"parent={tagged}", []),
        ("text=HELLO", [other, tagged]),
    ):
        assert ids_of(api.get(f"runs?{query}")) == expected, query
    for wrong in ("min_cost=much", "tags=x", "parent=run_1", "priority=high", "status=odd"):
        assert api.get(f"runs?{wrong}").problem()["status"] == 422, wrong
    refused = api.post("runs", {"agent": "clerk", "input": "x", "tags": ["Not Fine"]})
    assert refused.problem()["errors"][0]["path"] == "/tags/0"


def test_a_bulk_action_is_asked_then_done_and_what_it_ended_is_retried(
    api: Any, agent: str, advance: Callable[[str], None]
) -> None:
    from apps.orchestration.services import bulk
    from octavo.kernel import ids

    runs = [start(api, tags=["old"]) for _ in range(2)]
    asked = {"action": "cancel", "filter": {"tag": "old"}}
    plan = api.post("runs/bulk", {**asked, "dry_run": True})
    assert (plan.status, plan.body["matching"]) == (200, 2)
    assert {run["id"] for run in plan.body["sample"]} == set(runs)
    assert api.post("runs/bulk", {**asked, "expected": 1}).problem()["head"] == 2
    job = api.post("runs/bulk", {**asked, "expected": 2}, Idempotency_Key="b1")
    assert (job.status, job.body["status"], job.body["total"]) == (202, "running", 2)
    assert api.post("runs/bulk", {**asked, "expected": 2}, Idempotency_Key="b1").body == job.body
    bulk.run_batch(job_id=str(ids.decode(ids.Kind.JOB, job.body["id"])))
    done = api.get(f"runs/bulk/{job.body['id']}").body
    assert (done["status"], done["done"], done["problems"]) == ("done", 2, [])
    assert [item["id"] for item in api.get("runs/bulk").body["items"]] == [done["id"]]
    assert api.get("runs/bulk/job_01h455vb4pex5vsknk084sn02q").problem()["status"] == 404

    assert api.post(f"runs/{runs[0]}/retry").problem()["status"] == 409
    advance(runs[0])
    again = api.post(f"runs/{runs[0]}/retry")
    assert (again.status, again.body["retry_of"], again.body["tags"]) == (201, runs[0], ["old"])
    assert api.post(f"runs/{runs[0]}/retry", {"resume": True}).status in {403, 409}


def test_a_run_is_explained_and_limits_are_set(api: Any, agent: str) -> None:
    run = start(api)
    why = api.get(f"runs/{run}/explain").body
    assert why["code"] == "no_worker"
    assert "make up" in why["next_step"]
    queue = api.get("runs/queue").body
    assert (queue["states"]["queued"]["count"], queue["workers"]) == (1, [])
    assert queue["last_hour"] == {"queued": 1}

    limit = api.put("runs/limits", {"kind": "agent", "target": "clerk", "most": 3})
    assert (limit.status, limit.body["most"], limit.body["running"]) == (200, 3, 0)
    assert api.get("runs/limits").body["items"] == [limit.body]
    for wrong in (
        {"kind": "agent", "most": 3},
        {"kind": "project", "target": "x", "most": 3},
        {"kind": "agent", "target": "clerk", "most": 0},
    ):
        assert api.put("runs/limits", wrong).problem()["status"] == 422, wrong
    assert api.delete("runs/limits?kind=agent&target=clerk").status == 204
    assert api.delete("runs/limits?kind=agent&target=clerk").problem()["status"] == 404
