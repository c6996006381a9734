"""Budgets bind the calls of a run: its own, and that of the key that started it."""

from dataclasses import replace
from typing import Any

import pytest

from apps.accounts import services as accounts
from apps.accounts.types import Role
from apps.governance.services import budgets
from apps.governance.types import Amount, BudgetScope, Period
from apps.orchestration.types.runs import RunStatus, RunView
from octavo.kernel.scope import SYSTEM, Scope
from tests import runs
from tests.runs import Bench


def limit_calls(bench: Bench, on: BudgetScope, target_id: Any, calls: int) -> None:
    budgets.set_limit(
        scope=bench.scope.acting_as(SYSTEM),
        on=on,
        target_id=target_id,
        period=Period.TOTAL,
        limit_calls=calls,
    )


def started_with_a_key(bench: Bench, *scopes: str) -> tuple[Scope, RunView]:
    service = accounts.create_service(scope=bench.scope, name="starter", role=Role.MEMBER)
    issued = accounts.issue_key(
        scope=bench.scope, name="starter", principal=service, scopes=scopes or ("*",)
    )
    scope = accounts.authenticate_key(secret=issued.secret)
    return scope, runs.start(scope, calls=[["box_look", {"n": 1}]])


@pytest.mark.parametrize(("calls", "ends"), [(1, RunStatus.FAILED), (2, RunStatus.SUCCEEDED)])
def test_the_budget_of_a_key_binds_the_runs_it_starts(
    bench: Bench, calls: int, ends: RunStatus
) -> None:
    runs.save(bench.scope)
    scope, run = started_with_a_key(bench)
    limit_calls(bench, BudgetScope.KEY, scope.key_id, calls)
    ended = runs.advance(bench.scope, run.id)
    assert ended.status is ends, ended.error
    if ended.error is not None:
        assert ended.error["code"] == "budget_exceeded"
        assert "budget of this key" in ended.error["detail"]
    assert bench.rows("SELECT DISTINCT key_id FROM usage WHERE run_id = %s", run.id) == [
        (scope.key_id,)
    ]
    other = runs.start(bench.scope)
    assert runs.advance(bench.scope, other.id).status is RunStatus.SUCCEEDED


def test_the_scopes_of_a_key_do_not_narrow_what_its_runs_may_do(bench: Bench) -> None:
    runs.save(bench.scope)
    _, run = started_with_a_key(bench, "run.start")
    ended = runs.advance(bench.scope, run.id)
    assert ended.status is RunStatus.SUCCEEDED, ended.error


def test_a_run_taken_over_has_back_what_its_dead_worker_set_aside(bench: Bench) -> None:
    runs.save(bench.scope)
    run = runs.start(bench.scope)
    limit_calls(bench, BudgetScope.RUN, run.id, 1)
    budgets.reserve(scope=replace(bench.scope, run_id=run.id), amount=Amount(calls=1))
    bench.rows("UPDATE run SET crashes = 1 WHERE id = %s RETURNING id", run.id)
    ended = runs.advance(bench.scope, run.id)
    assert ended.status is RunStatus.SUCCEEDED, ended.error
