"""Budgets are never overshot, and what was reserved always ends as spent or given back."""

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from decimal import Decimal

import psycopg
import pytest
from django.db import connections

from apps.accounts.services import create_service
from apps.accounts.types import Role
from apps.governance import selectors
from apps.governance.services import budgets
from apps.governance.types import Amount, BudgetScope, OnExceed, Period
from octavo.kernel import ids
from octavo.kernel.errors import BudgetExceeded, Forbidden, InvalidInput, NotFound
from octavo.kernel.scope import Principal, PrincipalKind

CALL = Amount(calls=1)


@pytest.fixture
def admin(installation):
    return installation.scope.acting_as(installation.issued_key.key.principal)


def limit(scope, *, on=BudgetScope.PROJECT, target_id=None, period=Period.DAY, **limits):
    return budgets.set_limit(
        scope=scope, on=on, target_id=target_id or scope.project_id, period=period, **limits
    )


def counters(scope):
    (view,) = selectors.list_budgets(scope=scope)
    return view.spent, view.reserved


def test_eight_workers_at_once_get_exactly_what_the_limit_holds(admin):
    limit(admin, limit_calls=100)
    limit(admin, on=BudgetScope.ORGANISATION, target_id=admin.organisation_id, limit_calls=1000)
    start = threading.Barrier(8)

    def work(worker):
        granted = 0
        start.wait(timeout=10)
        for attempt in range(worker, 500, 8):
            try:
                reservation = budgets.reserve(scope=admin, amount=CALL)
            except BudgetExceeded:
                continue
            granted += 1
            if attempt % 2:
                budgets.settle(reservation=reservation, actual=CALL, usage_id=ids.new())
        connections.close_all()
        return granted

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(work, range(8))) == 100
    for view in selectors.list_budgets(scope=admin):
        assert view.spent.calls + view.reserved.calls == 100


def test_a_refusal_names_the_budget_and_reserves_nothing_elsewhere(admin):
    limit(admin, limit_usd=Decimal("1.50"))
    run = replace(admin, run_id=ids.new())
    limit(run, on=BudgetScope.RUN, target_id=run.run_id, period=Period.TOTAL, limit_tokens=10)
    with pytest.raises(BudgetExceeded, match=r"budget of this run \(10 tokens in total\)"):
        budgets.reserve(scope=run, amount=Amount(usd=Decimal(1), tokens=11))
    assert counters(admin) == (Amount(), Amount())
    with pytest.raises(BudgetExceeded, match=r"of this project \(1.50 USD per day\)") as refusal:
        budgets.reserve(scope=run, amount=Amount(usd=Decimal("1.500000001"), tokens=1))
    assert 0 < refusal.value.retry_after <= 86_400


def test_settling_replaces_the_reservation_once(admin):
    limit(admin, limit_tokens=100)
    reservation = budgets.reserve(scope=admin, amount=Amount(tokens=80, calls=1))
    actual = Amount(usd=Decimal("0.000000123"), tokens=30, calls=1)
    for _ in range(2):
        budgets.settle(reservation=reservation, actual=actual, usage_id=ids.new())
    budgets.release(reservation=reservation)
    assert counters(admin) == (actual, Amount())
    budgets.reserve(scope=admin, amount=Amount(tokens=70))


def test_releasing_gives_everything_back_once(admin):
    limit(admin, limit_calls=1)
    reservation = budgets.reserve(scope=admin, amount=CALL)
    for _ in range(2):
        budgets.release(reservation=reservation)
    assert counters(admin) == (Amount(), Amount())
    budgets.reserve(scope=admin, amount=CALL)


def test_what_a_crash_left_is_released_after_an_hour_and_still_counts_when_settled(admin, postgres):
    limit(admin, limit_calls=2)
    late = budgets.reserve(scope=admin, amount=CALL)
    assert budgets.release_stale() == 0
    with psycopg.connect(postgres.owner_url) as connection:
        connection.execute("UPDATE reservation SET created_at = now() - interval '61 minutes'")
    assert budgets.release_stale() == 1
    assert budgets.release_stale() == 0
    assert counters(admin) == (Amount(), Amount())
    for _ in range(2):
        budgets.settle(reservation=late, actual=CALL, usage_id=ids.new())
    assert counters(admin) == (CALL, Amount())


def test_a_run_taken_over_gets_back_what_its_dead_holder_left_and_no_other_run_does(admin):
    limit(admin, limit_calls=10)
    run, other = (replace(admin, run_id=ids.new()) for _ in range(2))
    late, done, _ = (budgets.reserve(scope=scope, amount=CALL) for scope in (run, run, other))
    budgets.settle(reservation=done, actual=CALL, usage_id=ids.new())
    assert budgets.release_run(run_id=run.run_id) == 1
    assert budgets.release_run(run_id=run.run_id) == 0
    assert counters(admin) == (CALL, CALL)
    budgets.settle(reservation=late, actual=CALL, usage_id=ids.new())
    assert counters(admin) == (Amount(calls=2), CALL)


def test_a_call_without_any_budget_reserves_and_settles_all_the_same(admin):
    reservation = budgets.reserve(scope=admin, amount=CALL)
    budgets.settle(reservation=reservation, actual=CALL, usage_id=ids.new())
    budgets.release(reservation=reservation)
    assert selectors.list_budgets(scope=admin) == []


def test_a_budget_that_only_warns_counts_past_its_limit(admin, caplog):
    limit(admin, limit_calls=1, on_exceed=OnExceed.WARN)
    budgets.reserve(scope=admin, amount=CALL)
    assert caplog.records == []
    budgets.reserve(scope=admin, amount=CALL)
    assert "only warns" in caplog.text
    assert counters(admin) == (Amount(), Amount(calls=2))


def test_an_agents_budget_binds_that_agent_alone(admin):
    agent, other = ids.new(), ids.new()
    limit(admin, on=BudgetScope.AGENT, target_id=agent, limit_calls=0)
    with pytest.raises(BudgetExceeded):
        budgets.reserve(scope=admin, amount=CALL, agent_id=agent)
    budgets.reserve(scope=admin, amount=CALL, agent_id=other)


def test_a_changed_limit_binds_at_once_and_keeps_what_was_spent(admin):
    first = limit(admin, limit_calls=5)
    budgets.reserve(scope=admin, amount=CALL)
    changed = limit(admin, limit_calls=1)
    assert changed.id == first.id
    assert changed.reserved == CALL
    with pytest.raises(BudgetExceeded):
        budgets.reserve(scope=admin, amount=CALL)


def test_the_window_of_another_day_does_not_count(admin, postgres):
    limit(admin, limit_calls=1)
    budgets.reserve(scope=admin, amount=CALL)
    with psycopg.connect(postgres.owner_url) as connection:
        connection.execute("UPDATE budget_window SET starts_at = starts_at - interval '1 day'")
    budgets.reserve(scope=admin, amount=CALL)
    assert counters(admin) == (Amount(), CALL)


def test_members_bound_their_runs_but_only_admins_set_budgets(admin):
    member = admin.acting_as(create_service(scope=admin, name="ci", role=Role.MEMBER))
    run = ids.new()
    view = limit(member, on=BudgetScope.RUN, target_id=run, period=Period.TOTAL, limit_calls=3)
    assert view.limit_calls == 3
    assert selectors.list_budgets(scope=admin) == []
    with pytest.raises(Forbidden):
        limit(member, limit_calls=3)


def test_a_budget_is_set_on_ones_own_ground_only(admin):
    for on in (BudgetScope.ORGANISATION, BudgetScope.TEAM, BudgetScope.PROJECT):
        with pytest.raises(NotFound, match=f"no such {on}"):
            limit(admin, on=on, target_id=ids.new(), limit_calls=3)
    with pytest.raises(InvalidInput, match="limit_calls is negative"):
        limit(admin, limit_calls=-1)
    stranger = Principal(kind=PrincipalKind.USER, id=ids.new(), name="eve@example.test")
    with pytest.raises(Forbidden):
        limit(admin.acting_as(stranger), limit_calls=3)
