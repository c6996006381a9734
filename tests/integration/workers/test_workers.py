"""Real workers: hints arrive, duplicates and losses are harmless, the terminal shows the run."""

import subprocess
import sys
from typing import Any

import pytest
import redis

from apps.orchestration import selectors
from apps.orchestration.types.runs import RunStatus
from octavo.devserver.processes import ROOT, child_environment
from octavo.kernel import jobs
from tests import runs, toolbox
from tests.runs import Bench

SETTINGS = {"DJANGO_SETTINGS_MODULE": "tests.settings", "OCTAVO_LEASE_SECONDS": "3"}
ENDED = "SELECT count(*) FROM run WHERE status = 'done'"


def test_a_worker_takes_runs_from_the_outbox_and_ignores_duplicates(
    bench: Bench, processes: Any
) -> None:
    runs.save(bench.scope)
    started = [runs.start(bench.scope, calls=[["box_look", {"n": 1}]]) for _ in range(5)]
    for run in started:
        for _ in range(4):
            jobs.enqueue("orchestration.advance", run_id=str(run.id))
    processes.worker(queues="runs", threads=8, **SETTINGS)
    runs.eventually(lambda: bench.rows(ENDED) == [(5,)])
    runs.eventually(lambda: bench.rows("SELECT count(*) FROM outbox") == [(0,)])
    assert len(toolbox.read_trail()) == 5
    assert bench.rows("SELECT DISTINCT fence FROM run") == [(1,)]


def test_a_waiting_run_holds_no_worker_and_a_verdict_wakes_it(bench: Bench, processes: Any) -> None:
    from apps.governance import selectors as governance
    from apps.governance.services import approvals
    from apps.governance.types import Verdict

    runs.save(bench.scope)
    waiting = [runs.start(bench.scope, calls=[["box_launch", {"n": 1}]]) for _ in range(3)]
    processes.worker(queues="runs", threads=1, **SETTINGS)
    parked = "SELECT count(*) FROM run WHERE status = 'waiting'"
    runs.eventually(lambda: bench.rows(parked) == [(3,)])
    runs.start(bench.scope, answer="meanwhile")
    runs.eventually(lambda: bench.rows(ENDED) == [(1,)])
    for approval in governance.list_approvals(scope=bench.scope):
        approvals.decide(scope=bench.scope, approval_id=approval.id, verdict=Verdict.APPROVE)
    runs.eventually(lambda: bench.rows(ENDED) == [(4,)])
    assert {run for _, run, _, _ in toolbox.read_trail()} == {str(run.id) for run in waiting}
    assert len(toolbox.read_trail()) == 3


def test_cancelling_a_live_run_takes_less_than_a_heartbeat(bench: Bench, processes: Any) -> None:
    from apps.orchestration.services import control

    runs.save(bench.scope)
    run = runs.start(bench.scope, delay=60)
    processes.worker(queues="runs", threads=2, **{**SETTINGS, "OCTAVO_LEASE_SECONDS": "60"})
    runs.eventually(lambda: bench.chat.open_calls == 1)
    control.cancel_run(scope=bench.scope, run_id=run.id)

    def is_cancelled() -> bool:
        found = selectors.get_run(scope=bench.scope, run_id=run.id)
        return found.status is RunStatus.CANCELLED

    runs.eventually(is_cancelled, within=8)
    runs.eventually(lambda: bench.chat.cut_off == 1)


def test_hints_lost_with_redis_are_sent_again(bench: Bench, processes: Any, redis_url: str) -> None:
    runs.save(bench.scope)
    worker = processes.worker(queues="runs", threads=1, **SETTINGS)
    runs.start(bench.scope, delay=1)
    runs.eventually(lambda: bench.chat.open_calls == 1)
    for _ in range(4):
        runs.start(bench.scope, answer="x")
    runs.eventually(lambda: bench.rows("SELECT count(*) FROM outbox") == [(0,)])
    with redis.Redis.from_url(redis_url) as client:
        client.flushdb()
    runs.eventually(lambda: bench.rows(ENDED) == [(5,)], within=15)
    assert worker.is_alive


def test_hints_without_room_wait_for_whoever_has_a_thread(bench: Bench, processes: Any) -> None:
    runs.save(bench.scope)
    processes.worker(queues="runs", threads=1, **SETTINGS)
    runs.start(bench.scope, delay=30)
    runs.eventually(lambda: bench.chat.open_calls == 1)
    for _ in range(20):
        runs.start(bench.scope, answer="x")
    processes.worker(queues="runs", threads=2, **SETTINGS)
    runs.eventually(lambda: bench.rows(ENDED) == [(20,)], within=5)
    assert bench.rows("SELECT DISTINCT hints FROM run") == [(0,)]
    assert bench.rows("SELECT count(*) FROM outbox") == [(0,)]


def test_a_worker_that_takes_no_runs_sends_their_hints_to_one_that_does(
    bench: Bench, processes: Any
) -> None:
    runs.save(bench.scope)
    started = [runs.start(bench.scope, answer="x") for _ in range(3)]
    processes.worker(queues="control", threads=1, **SETTINGS)
    runs.eventually(lambda: bench.rows("SELECT count(*) FROM outbox") == [(0,)])
    processes.worker(queues="runs", threads=1, **SETTINGS)
    runs.eventually(lambda: bench.rows(ENDED) == [(len(started),)], within=5)


def test_spent_answers_and_login_links_are_pruned_by_a_worker(bench: Bench, processes: Any) -> None:
    bench.rows(
        "INSERT INTO idempotency_key (principal_id, project_id, key, fingerprint, created_at) "
        "VALUES (gen_random_uuid(), gen_random_uuid(), 'old', '', now() - interval '2 days') "
        "RETURNING key"
    )
    bench.rows(
        "INSERT INTO login_link (id, user_id, token_hash, expires_at) SELECT gen_random_uuid(), "
        "id, '', now() - interval '1 minute' FROM user_account LIMIT 1 RETURNING token_hash"
    )
    processes.worker(queues="runs", threads=1, **SETTINGS)
    spent = "SELECT (SELECT count(*) FROM idempotency_key) + (SELECT count(*) FROM login_link)"
    runs.eventually(lambda: bench.rows(spent) == [(0,)])


def _run_command(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "manage.py", "run", *arguments],
        cwd=ROOT,
        env=child_environment({"DJANGO_SETTINGS_MODULE": "tests.settings"}),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_run_command_shows_steps_answer_and_account(bench: Bench, processes: Any) -> None:
    runs.save(bench.scope)
    processes.worker(queues="runs", threads=2, **SETTINGS)
    script = '{"calls": [["box_look", {"n": 1}]], "answer": "forty two"}'
    done = _run_command("worker-bee", script)
    assert done.returncode == 0, done.stderr
    lines = [line.strip() for line in done.stdout.splitlines()]
    assert lines[0].startswith("✓ model scripted/scripted")
    assert lines[1].startswith("✓ tool box_look")
    assert "forty two" in lines
    assert lines[-1].startswith("run_")
    assert "3 steps  40 → 10 tokens" in lines[-1]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("nobody", "x"), "There is no agent 'nobody'"),
        (("worker-bee", " "), "say what the agent shall do"),
        (("worker-bee", "x", "--budget-usd", "much"), "not an amount"),
        (("worker-bee", "x"), "No worker took the run within 10 s"),
    ],
)
def test_the_run_command_says_what_is_wrong(
    bench: Bench, arguments: tuple[str, ...], says: str
) -> None:
    runs.save(bench.scope)
    done = _run_command(*arguments)
    assert done.returncode != 0
    assert says in done.stderr
    assert "Traceback" not in done.stderr
