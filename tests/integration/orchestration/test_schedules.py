"""Each due time of a schedule fires once, as its policies say, and says what came of it."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from django.db import connections

from apps.accounts import services as accounts
from apps.accounts.types import Role
from apps.orchestration import selectors
from apps.orchestration.services import scheduling, triggers
from apps.orchestration.types.runs import EventType, RunStatus
from apps.orchestration.types.serving import RunFilter
from apps.orchestration.types.triggers import (
    FiringOutcome,
    FiringView,
    Missed,
    Overlap,
    TriggerKind,
    TriggerView,
)
from octavo.kernel.errors import Forbidden, InvalidInput, NotFound
from octavo.kernel.scope import Scope
from tests import runs
from tests.runs import Bench

SCHEDULE = TriggerKind.SCHEDULE
DUE = "UPDATE run_trigger SET next_due_at = {} RETURNING next_due_at"


def _schedule(bench: Bench, scope: Scope | None = None, **fields: Any) -> TriggerView:
    values: dict[str, Any] = {"input": {"answer": "done"}, "cron": "0 9 * * *", **fields}
    return scheduling.create_schedule(scope=scope or bench.scope, agent="worker-bee", **values)


def _make_due(bench: Bench, when: str = "now()") -> None:
    bench.rows(DUE.format(when))


def _firings(bench: Bench, schedule: TriggerView) -> list[FiringView]:
    return selectors.list_firings(scope=bench.scope, kind=SCHEDULE, trigger_id=schedule.id)


def _outcomes(bench: Bench, schedule: TriggerView) -> list[FiringOutcome]:
    return [firing.outcome for firing in reversed(_firings(bench, schedule))]


def test_a_due_schedule_starts_one_run_and_says_when_it_comes_again(bench: Bench) -> None:
    runs.save(bench.scope)
    schedule = _schedule(bench, cron="0 9 * * *", timezone="Europe/Berlin", name="daily")
    assert len(schedule.next_runs) == 5
    assert scheduling.fire_due() == 0
    _make_due(bench)
    assert scheduling.fire_due() == 1
    assert scheduling.fire_due() == 0
    (firing,) = _firings(bench, schedule)
    assert firing.outcome is FiringOutcome.STARTED
    assert firing.run_id is not None
    done = runs.advance(bench.scope, firing.run_id)
    assert (done.status, done.triggered_by) == (RunStatus.SUCCEEDED, schedule.public_id)
    started = runs.events(bench.scope, done.id)[0]
    assert started.type is EventType.RUN_STARTED
    assert started.data["triggered_by"]["trigger"] == schedule.public_id
    assert "tainted" not in started.data
    listed = selectors.list_runs(
        scope=bench.scope, wanted=RunFilter(triggered_by=schedule.public_id)
    )
    assert [run.id for run in listed] == [done.id]
    again = selectors.get_trigger(scope=bench.scope, kind=SCHEDULE, trigger_id=schedule.id)
    assert again.last == firing
    assert bench.rows("SELECT next_due_at > now() FROM run_trigger") == [(True,)]


def test_many_schedulers_fire_each_due_time_once(bench: Bench) -> None:
    runs.save(bench.scope)
    schedules = [_schedule(bench) for _ in range(6)]
    _make_due(bench)

    def fire(_: int) -> int:
        try:
            return scheduling.fire_due()
        finally:
            connections.close_all()

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(fire, range(4))) == len(schedules)
    assert bench.rows("SELECT count(*), count(DISTINCT run_id) FROM trigger_firing") == [(6, 6)]
    assert bench.rows("SELECT count(DISTINCT triggered_by) FROM run") == [(6,)]


def test_a_scheduler_that_dies_between_leaves_nothing_behind(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    from apps.orchestration import triggering

    runs.save(bench.scope)
    schedule = _schedule(bench)
    _make_due(bench)

    def die(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(triggering, "note", die)
        with pytest.raises(KeyboardInterrupt):
            scheduling.fire_due()
    assert bench.rows("SELECT count(*) FROM run") == [(0,)]
    assert scheduling.fire_due() == 1
    assert _outcomes(bench, schedule) == [FiringOutcome.STARTED]


@pytest.mark.parametrize(
    ("overlap", "second", "started"),
    [
        (Overlap.SKIP, FiringOutcome.SKIPPED, 1),
        (Overlap.QUEUE, FiringOutcome.QUEUED, 1),
        (Overlap.PARALLEL, FiringOutcome.STARTED, 2),
    ],
)
def test_a_run_that_has_not_ended_meets_the_overlap_policy(
    bench: Bench, overlap: Overlap, second: FiringOutcome, started: int
) -> None:
    runs.save(bench.scope)
    schedule = _schedule(bench, overlap=overlap)
    for when in ("now() - interval '9 s'", "now()"):
        _make_due(bench, when)
        scheduling.fire_due()
    assert _outcomes(bench, schedule) == [FiringOutcome.STARTED, second]
    last = _firings(bench, schedule)[0]
    assert "run_" in last.reason or overlap is Overlap.PARALLEL
    assert bench.rows("SELECT count(*) FROM run") == [(started,)]


def test_a_queued_run_starts_when_the_one_before_has_ended(bench: Bench) -> None:
    runs.save(bench.scope)
    schedule = _schedule(bench, overlap=Overlap.QUEUE)
    for ago in (9, 6, 3):
        _make_due(bench, f"now() - interval '{ago} s'")
        scheduling.fire_due()
    assert scheduling.start_queued() == 0
    for left in (2, 1, 0):
        (live,) = bench.rows("SELECT id FROM run WHERE status = 'ready'")
        runs.advance(bench.scope, live[0])
        assert scheduling.start_queued() == int(left > 0)
    assert _outcomes(bench, schedule) == [FiringOutcome.STARTED] * 3
    due = [firing.due_at for firing in reversed(_firings(bench, schedule))]
    assert due == sorted(due)


@pytest.mark.parametrize(
    ("missed", "expected"),
    [
        (Missed.SKIP, [FiringOutcome.SKIPPED]),
        (Missed.RUN_ONCE, [FiringOutcome.SKIPPED, FiringOutcome.STARTED]),
        (Missed.RUN_ALL, [FiringOutcome.STARTED] * 3),
    ],
)
def test_what_no_worker_saw_meets_the_missed_policy(
    bench: Bench, missed: Missed, expected: list[FiringOutcome]
) -> None:
    runs.save(bench.scope)
    day = timedelta(days=1)
    schedule = _schedule(
        bench, cron=None, every_seconds=86400, missed=missed, overlap=Overlap.PARALLEL
    )
    shift = (
        "UPDATE run_trigger SET next_due_at = next_due_at - interval '3 days 1 hour', settings = "
        "jsonb_set(settings, '{timing,anchor}', to_jsonb(to_char(next_due_at - interval "
        "'4 days 1 hour', 'YYYY-MM-DD\"T\"HH24:MI:SS+00:00'))) RETURNING id"
    )
    bench.rows(shift)
    assert scheduling.fire_due() == 1
    assert _outcomes(bench, schedule) == expected
    assert all("no worker" in f.reason.lower() for f in _firings(bench, schedule) if f.reason)
    (ahead,) = bench.rows("SELECT next_due_at - now() FROM run_trigger")[0]
    assert timedelta(0) < ahead < day


def test_a_paused_schedule_waits_and_does_not_make_up_for_it(bench: Bench) -> None:
    runs.save(bench.scope)
    schedule = _schedule(bench)
    for _ in range(2):
        held = triggers.pause_trigger(scope=bench.scope, kind=SCHEDULE, trigger_id=schedule.id)
        assert held.paused_at is not None
        assert held.next_runs == ()
    assert bench.rows("SELECT next_due_at FROM run_trigger") == [(None,)]
    by_hand = scheduling.run_now(scope=bench.scope, schedule_id=schedule.id)
    assert by_hand.outcome is FiringOutcome.STARTED
    going = triggers.resume_trigger(scope=bench.scope, kind=SCHEDULE, trigger_id=schedule.id)
    assert going.paused_at is None
    assert scheduling.fire_due() == 0
    triggers.delete_trigger(scope=bench.scope, kind=SCHEDULE, trigger_id=schedule.id)
    with pytest.raises(NotFound):
        scheduling.run_now(scope=bench.scope, schedule_id=schedule.id)
    assert bench.rows("SELECT count(*) FROM run") == [(1,)]
    said = {row[0] for row in bench.rows("SELECT action FROM audit_entry WHERE action ~ 'trigger'")}
    assert said == {"trigger.create", "trigger.pause", "trigger.resume", "trigger.delete"}


def _member(installation: Any, role: Role = Role.MEMBER, *scopes: str) -> Scope:
    service = accounts.create_service(scope=installation.scope, name="ci", role=role)
    issued = accounts.issue_key(
        scope=installation.scope, name="ci", principal=service, scopes=scopes or ("*",)
    )
    return accounts.authenticate_key(secret=issued.secret)


def _lose_membership(installation: Any, scope: Scope) -> None:
    accounts.set_role(scope=installation.scope, member_id=scope.principal.id, role=Role.VIEWER)


def _lose_key(installation: Any, scope: Scope) -> None:
    assert scope.key_id is not None
    accounts.revoke_key(scope=installation.scope, key_id=scope.key_id)


@pytest.mark.parametrize("lose", [_lose_membership, _lose_key])
def test_a_lost_right_is_a_failed_firing_that_says_so(
    bench: Bench, installation: Any, lose: Any
) -> None:
    runs.save(bench.scope)
    scope = _member(installation)
    schedule = _schedule(bench, scope=scope)
    _make_due(bench)
    scheduling.fire_due()
    (first,) = bench.rows("SELECT started_by, key_id FROM run")
    assert first == ("ci", scope.key_id)
    (live,) = bench.rows("SELECT id FROM run")[0]
    runs.advance(bench.scope, live)
    lose(installation, scope)
    for _ in range(2):  # it fails each time, and goes on
        _make_due(bench)
        scheduling.fire_due()
    assert _outcomes(bench, schedule)[1:] == [FiringOutcome.FAILED] * 2
    reason = _firings(bench, schedule)[0].reason
    assert "no longer in force" in reason or "permitted by no policy" in reason


def test_a_vanished_agent_is_a_failed_firing(bench: Bench) -> None:
    runs.save(bench.scope)
    schedule = _schedule(bench)
    bench.rows("UPDATE agent SET name = 'renamed' RETURNING id")
    _make_due(bench)
    scheduling.fire_due()
    assert _outcomes(bench, schedule) == [FiringOutcome.FAILED]
    assert "worker-bee" in _firings(bench, schedule)[0].reason


def test_nobody_schedules_what_they_may_not_do(bench: Bench, installation: Any) -> None:
    runs.save(bench.scope)
    narrow = _member(installation, Role.MEMBER, "trigger.manage")
    with pytest.raises(Forbidden):
        _schedule(bench, scope=narrow)
    _lose_membership(installation, narrow)
    with pytest.raises(Forbidden):
        _schedule(bench, scope=narrow)
    with pytest.raises(NotFound):
        scheduling.create_schedule(scope=bench.scope, agent="nobody", input="x", cron="0 9 * * *")


def test_whoever_changes_a_schedule_answers_for_it(bench: Bench, installation: Any) -> None:
    runs.save(bench.scope)
    schedule = _schedule(bench)
    other = _member(installation)
    changed = scheduling.change_schedule(
        scope=other, schedule_id=schedule.id, changes={"every_seconds": 60, "input": "hello"}
    )
    assert changed.owner == "ci"
    timing: Any = changed.settings
    assert (timing.timing.cron, timing.timing.every_seconds) == (None, 60)
    with pytest.raises(InvalidInput):
        scheduling.change_schedule(
            scope=other, schedule_id=schedule.id, changes={"timezone": "Europe/Nowhere"}
        )


def test_old_firings_are_forgotten(bench: Bench) -> None:
    runs.save(bench.scope)
    schedule = _schedule(bench)
    scheduling.run_now(scope=bench.scope, schedule_id=schedule.id)
    assert triggers.forget_firings() == 0
    bench.rows("UPDATE trigger_firing SET at = now() - interval '31 days' RETURNING id")
    assert triggers.forget_firings() == 1
    assert _firings(bench, schedule) == []
