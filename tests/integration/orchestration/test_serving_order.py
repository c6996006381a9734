"""Runs are served by priority, between projects in turn, and never more at once than a limit."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db import connections

from apps.orchestration import journal, leases, selectors, slots
from apps.orchestration.services import (
    control,
    engine,
    limiting,
    starting,
    upkeep,
    workflow_runs,
    workflows,
)
from apps.orchestration.types.runs import Priority, RunStatus
from apps.orchestration.types.serving import LimitKind
from octavo.kernel import clock, ids
from tests import runs
from tests.runs import Bench


def begin(bench: Bench, **given: Any) -> UUID:
    return starting.start_run(scope=bench.scope, agent="worker-bee", input="{}", **given).id


def take_turn(hinted: UUID) -> UUID | None:
    _, claimed = journal.claim_turn(hinted=hinted, owner=leases.OWNER)
    return claimed[0].id if claimed else None


def test_high_goes_before_normal_before_low_but_low_does_not_wait_for_ever(bench: Bench) -> None:
    runs.save(bench.scope)
    low, normal, high = (begin(bench, priority=each) for each in Priority)
    served = []
    for _ in range(3):
        served.append(take_turn(low))
        bench.rows("UPDATE run SET status = 'done' WHERE id = %s RETURNING id", served[-1])
    assert served == [high, normal, low]
    old = begin(bench, priority=Priority.LOW)
    bench.rows("UPDATE run SET rank = rank - interval '21 min' WHERE id = %s RETURNING id", old)
    assert take_turn(begin(bench, priority=Priority.HIGH)) == old


def test_a_hint_is_leave_to_work_and_the_run_that_is_next_gets_it(bench: Bench) -> None:
    from workers.tasks import orchestration as tasks

    runs.save(bench.scope)
    limiting.set_limit(scope=bench.scope, kind=LimitKind.AGENT, target="worker-bee", most=1)
    low, high = begin(bench, priority=Priority.LOW), begin(bench, priority=Priority.HIGH)
    order = "SELECT id FROM run WHERE status = 'done' ORDER BY finished_at"
    tasks.advance(str(low))
    assert bench.rows(order) == [(high,)]
    tasks.advance(str(high))
    assert bench.rows(order) == [(high,), (low,)]


def test_two_hints_never_choose_the_same_run(bench: Bench) -> None:
    runs.save(bench.scope)
    first, second, third = (begin(bench) for _ in range(3))
    assert take_turn(third) == first
    assert take_turn(third) == second
    assert take_turn(third) == third


def test_a_worker_without_a_hint_in_hand_takes_the_next_of_the_outbox(bench: Bench) -> None:
    runs.save(bench.scope)
    started = [begin(bench) for _ in range(2)]
    for _ in started:
        assert engine.advance_next()
    assert not engine.advance_next()
    assert bench.rows("SELECT count(*) FROM outbox WHERE name = 'orchestration.advance'") == [(0,)]
    assert bench.rows("SELECT count(*) FROM run WHERE status = 'done'") == [(2,)]


def test_as_many_hints_at_once_choose_as_many_runs(bench: Bench) -> None:
    runs.save(bench.scope)
    started = [begin(bench) for _ in range(16)]
    barrier = threading.Barrier(len(started))

    def choose(hinted: UUID) -> UUID | None:
        barrier.wait()
        try:
            return take_turn(hinted)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(len(started)) as pool:
        assert sorted(pool.map(choose, started)) == sorted(started)


def test_those_that_wait_for_a_slot_keep_their_order(bench: Bench) -> None:
    runs.save(bench.scope)
    limiting.set_limit(scope=bench.scope, kind=LimitKind.AGENT, target="worker-bee", most=1)
    first = begin(bench)
    assert take_turn(first) == first
    low, normal, high = (begin(bench, priority=each) for each in Priority)
    for hinted in (low, normal, high):
        assert take_turn(hinted) is None
    served = []
    for _ in range(3):
        bench.rows("UPDATE run SET status = 'done' WHERE status = 'running' RETURNING id")
        assert slots.wake() == 1
        served.append(take_turn(low))
    assert served == [high, normal, low]


def test_the_project_with_fewest_runs_under_way_goes_first(bench: Bench) -> None:
    runs.save(bench.scope)
    crowd = [begin(bench) for _ in range(3)]
    guest = begin(bench)
    move = "UPDATE run SET project_id = %s WHERE id = %s RETURNING id"
    bench.rows(move, ids.new(), guest)
    assert journal.claim(run_id=crowd[0], owner=leases.OWNER)
    assert take_turn(crowd[2]) == guest


def test_a_limit_of_the_project_binds_its_workflows_too(bench: Bench) -> None:
    runs.save(bench.scope)
    graph = {"nodes": [{"id": "pause", "kind": "wait", "seconds": 1}]}
    workflows.save_workflow(scope=bench.scope, name="flow", source=graph, create=True)
    limiting.set_limit(scope=bench.scope, kind=LimitKind.PROJECT, target="", most=1)
    first = begin(bench)
    flow = workflow_runs.start_workflow(scope=bench.scope, workflow="flow", input="go").id
    assert take_turn(first) == first
    assert take_turn(flow) is None
    (limit,) = selectors.list_limits(scope=bench.scope)
    assert (limit.running, limit.waiting) == (1, 1)
    bench.rows("UPDATE run SET status = 'done' WHERE id = %s RETURNING id", first)
    assert slots.wake() == 1
    assert take_turn(flow) == flow


def test_never_more_run_than_a_limit_allows_and_each_gets_its_turn(bench: Bench) -> None:
    runs.save(bench.scope)
    limiting.set_limit(scope=bench.scope, kind=LimitKind.AGENT, target="worker-bee", most=3)
    limiting.set_limit(scope=bench.scope, kind=LimitKind.PROJECT, target="", most=5)
    started = [begin(bench) for _ in range(12)]
    barrier = threading.Barrier(len(started))
    claimed: list[tuple[UUID, int]] = []

    def take(run_id: UUID) -> None:
        barrier.wait()
        found = journal.claim(run_id=run_id, owner=leases.OWNER)
        if found is not None:
            claimed.append((run_id, found[1].fence))
        connections.close_all()

    done = 0
    waiting = list(started)
    while waiting:
        barrier = threading.Barrier(len(waiting))
        threads = [threading.Thread(target=take, args=(run_id,)) for run_id in waiting]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert bench.rows("SELECT count(*) FROM run WHERE status = 'running'") == [(len(claimed),)]
        assert len(claimed) == min(3, len(waiting))
        assert upkeep.fill_slots() == 0
        assert upkeep.remind() == 0
        for run_id, _ in claimed:
            bench.rows(
                "UPDATE run SET status = 'done', finished_at = now() WHERE id = %s RETURNING id",
                run_id,
            )
            waiting.remove(run_id)
        done += len(claimed)
        claimed.clear()
        assert upkeep.fill_slots() == min(3, len(waiting))
    assert done == len(started)


def test_a_run_over_the_limit_says_so_and_can_be_cancelled(bench: Bench) -> None:
    runs.save(bench.scope)
    limiting.set_limit(scope=bench.scope, kind=LimitKind.ROUTE, target="default", most=1)
    first, second = begin(bench), begin(bench)
    assert journal.claim(run_id=first, owner=leases.OWNER)
    assert runs.advance(bench.scope, second).status is RunStatus.QUEUED
    why = selectors.explain_run(scope=bench.scope, run_id=second)
    assert (why.code, why.summary) == (
        "slot",
        "waits for a free slot: route default may run 1 at once",
    )
    (limit,) = selectors.list_limits(scope=bench.scope)
    assert (limit.running, limit.waiting) == (1, 1)
    control.cancel_run(scope=bench.scope, run_id=second)
    assert upkeep.remind() == 1  # at once, because no hint was under way
    assert runs.advance(bench.scope, second).status is RunStatus.CANCELLED
    limiting.remove_limit(scope=bench.scope, kind=LimitKind.ROUTE, target="default")
    assert selectors.list_limits(scope=bench.scope) == []


def test_the_queue_says_how_it_stands_and_each_run_why(bench: Bench) -> None:
    runs.save(bench.scope, tools=("box_*", "ask_person"))
    queued = begin(bench)
    why = selectors.explain_run(scope=bench.scope, run_id=queued)
    assert why.code == "no_worker"
    upkeep.show_worker(duties={"timers": clock.now().isoformat()})
    assert selectors.explain_run(scope=bench.scope, run_id=queued).code == "queued"
    asking = runs.start(bench.scope, calls=[["ask_person", {"question": "Red?"}]], answer="x").id
    runs.advance(bench.scope, asking)
    assert "'Red?'" in selectors.explain_run(scope=bench.scope, run_id=asking).summary
    launch = runs.start(bench.scope, calls=[["box_launch", {"n": 1}]], answer="x").id
    runs.advance(bench.scope, launch)
    approval = selectors.explain_run(scope=bench.scope, run_id=launch)
    assert approval.code == "approval"
    assert "of box_launch, asked" in approval.summary
    assert "expires in" in approval.summary
    held = begin(bench)
    assert journal.claim(run_id=held, owner="host:1")
    running = selectors.explain_run(scope=bench.scope, run_id=held)
    assert running.summary.startswith("runs on host:1; its last event, run started, was")
    bench.rows(
        "UPDATE run SET lease_until = now() - interval '9 s' WHERE id = %s RETURNING id", held
    )
    assert selectors.explain_run(scope=bench.scope, run_id=held).code == "lease_lost"
    health = selectors.get_health(scope=bench.scope)
    assert {name: state.count for name, state in health.states.items()} == {
        "queued": 1,
        "running": 1,
        "waiting": 2,
    }
    assert (health.expired_leases, health.last_hour[RunStatus.QUEUED]) == (1, 1)
    assert [worker.is_alive for worker in health.workers] == [True]
    assert clock.now() - health.workers[0].duties["timers"] < timedelta(minutes=1)
    for name in ("octavo_runs_running 1.0", "octavo_workers_seen 1.0", "octavo_runs_expired 1.0"):
        assert name.encode() in metrics()


def metrics() -> bytes:
    from apps.observability.metrics import render

    return render()
