"""Forks, replays and comparisons of runs over REST."""

from collections.abc import Callable
from typing import Any

from tests.integration.api.conftest import Api


def test_a_run_is_forked_replayed_and_compared(
    api: Any, agent: str, advance: Callable[[str], None], with_key: Callable[[str], Api]
) -> None:
    parent = api.post("runs", {"agent": "clerk", "input": "Hello?"}).body["id"]
    advance(parent)
    body = {"at_step": "model.1", "edits": [{"step": "model.1", "output": "Good day."}]}
    fork = api.post(f"runs/{parent}/fork", body, Idempotency_Key="f1")
    assert fork.status == 201, fork.body
    assert fork.body["forked_from"] == {"run": parent, "step": "model.1"}
    assert api.post(f"runs/{parent}/fork", body, Idempotency_Key="f1").body == fork.body
    fork_id = fork.body["id"]
    advance(fork_id)
    done = api.get(f"runs/{fork_id}").body
    assert done["output"]["text"] == "Good day."
    assert done["usage"]["input_tokens"] == 0

    for run in (parent, fork_id):
        replayed = api.post(f"runs/{run}/replay").body
        assert (replayed["equal"], replayed["first_difference"]) == (True, None)
        assert replayed["events"] == 3

    diff = api.get(f"runs/diff?a={parent}&b={fork_id}").body
    assert (diff["shared_steps"], diff["first_difference"]) == (0, "model.1")
    (pair,) = diff["steps"]
    assert pair["differs"] == ["output"]
    assert pair["a"]["output"]["content"] == "Hello from upstream."
    assert pair["b"]["output"]["content"] == "Good day."
    assert (pair["a"]["inherited"], pair["b"]["inherited"]) == (False, True)
    assert pair["a"]["usage"]["input_tokens"] == 11
    assert api.get(f"runs/diff?a={parent}&b={parent}").body["first_difference"] is None

    why = api.get(f"runs/{parent}/why").body["decisions"]
    assert [(entry["step"], entry["chosen"]) for entry in why] == [
        ("model.1", {"answer": "Hello from upstream."})
    ]


def test_what_is_wrong_with_a_fork_is_said(api: Any, agent: str) -> None:
    run = api.post("runs", {"agent": "clerk", "input": "Hello?"}).body["id"]
    assert "none yet" in api.post(f"runs/{run}/fork", {"at_step": "x"}).problem()["detail"]
    wrong = api.post(f"runs/{run}/fork", {"at_step": "x", "input": 3}).problem()
    assert [error["path"] for error in wrong["errors"]] == ["/input"]
    assert api.post(f"runs/{run}/fork", {}).problem()["status"] == 422
    assert api.get(f"runs/diff?a={run}").problem()["status"] == 422
    assert api.get(f"runs/diff?a={run}&b=nonsense").status in {404, 422}
