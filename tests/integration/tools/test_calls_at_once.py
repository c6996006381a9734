"""Calls that a model asks for together are made together; those that change something, in turn."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from apps.governance import selectors as governance
from apps.governance.services import approvals
from apps.governance.types import ApprovalStatus, Verdict
from apps.orchestration.services import control
from apps.orchestration.types.runs import EventType, RunStatus
from octavo.kernel import ids
from tests import runs
from tests.integration.tools.conftest import HttpUpstream
from tests.runs import Bench


@pytest.fixture
def bench(installation: Any, db: Any, tmp_path: Path) -> Iterator[Bench]:
    yield from runs.bench_on(installation.scope, db.superuser_url, tmp_path)


@pytest.fixture
def far(add: Any, api: Any, modern: HttpUpstream, bench: Bench) -> HttpUpstream:
    add("far", transport="http", url=modern.url)
    for tool, effect in (("meet", "pure"), ("push", "unsafe"), ("echo", "pure")):
        fields = {"effect": effect, "egress": False, "trust": "trusted", "timeout_seconds": 20}
        done = api.post(f"tools/far__{tool}/approve-definition", fields)
        assert done.status == 200, done.body
    runs.save(bench.scope, tools=("far__*", "box_*"))
    return modern


def _answers(bench: Bench, run_id: Any) -> list[Any]:
    found = runs.events(bench.scope, run_id)
    return [e for e in found if e.type is EventType.TOOL_ANSWERED]


def test_calls_of_one_turn_are_under_way_together(bench: Bench, far: HttpUpstream) -> None:
    calls = [["far__meet", {"of": 3, "name": name}] for name in ("a", "b", "c")]
    run = runs.advance(bench.scope, runs.start(bench.scope, calls=[calls]).id)
    assert run.status is RunStatus.SUCCEEDED, run.error
    told = {e.step: e.data["message"]["content"] for e in _answers(bench, run.id)}
    assert told == {f"tools.1.{n}": f"met as {name}" for n, name in enumerate("abc")}
    sent = bench.chat.requests[-1]["messages"]
    assert {m["tool_call_id"] for m in sent if m["role"] == "tool"} == {
        "call_0",
        "call_0_1",
        "call_0_2",
    }


def test_calls_that_change_something_are_made_in_turn(bench: Bench, far: HttpUpstream) -> None:
    calls = [["far__push", {"n": n}] for n in range(3)]
    run = runs.advance(bench.scope, runs.start(bench.scope, calls=[calls]).id)
    assert run.status is RunStatus.SUCCEEDED, run.error
    assert far.lines("pushed") == ["0", "1", "2"]
    kinds = [e.type for e in runs.events(bench.scope, run.id) if e.step.startswith("tools.")]
    assert kinds == [EventType.TOOL_INTENDED, EventType.TOOL_ANSWERED] * 3


def test_a_call_that_waits_for_a_person_holds_up_no_other(bench: Bench, far: HttpUpstream) -> None:
    calls = [["box_launch", {"n": 1}], ["far__echo", {"text": "hi"}], ["box_launch", {"n": 2}]]
    waiting = runs.advance(bench.scope, runs.start(bench.scope, calls=[calls]).id)
    assert waiting.status is RunStatus.WAITING
    assert [e.step for e in _answers(bench, waiting.id)] == ["tools.1.1"]
    asked = governance.list_approvals(scope=bench.scope, status=ApprovalStatus.PENDING)
    assert len(asked) == 2
    for approval in asked:
        approvals.decide(scope=bench.scope, approval_id=approval.id, verdict=Verdict.APPROVE)
        control.redeliver_approval(
            run_id=waiting.id, approval=ids.encode(ids.Kind.APPROVAL, approval.id)
        )
    done = runs.advance(bench.scope, waiting.id)
    assert done.status is RunStatus.SUCCEEDED, done.error
    assert {e.step for e in _answers(bench, done.id)} == {f"tools.1.{n}" for n in range(3)}
