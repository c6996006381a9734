"""Runs are found by any of their facts, done again, and handled in bulk."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from apps.accounts import selectors as accounts
from apps.orchestration import selectors
from apps.orchestration.services import bulk, control, retrying, starting
from apps.orchestration.types.runs import Priority, RunStatus
from apps.orchestration.types.serving import BulkAction, RunFilter
from octavo.kernel.errors import Conflict, Forbidden, InvalidInput
from octavo.kernel.scope import Scope
from tests import runs
from tests.runs import Bench

QUARANTINE = """
UPDATE run SET status = 'quarantined', crashes = 3, finished_at = now(),
  error = '{"code": "quarantined", "detail": "x"}' WHERE id = %s
"""


def begin(bench: Bench, **given: Any) -> UUID:
    return starting.start_run(scope=bench.scope, agent="worker-bee", input="{}", **given).id


def scope_of_admin() -> Scope:
    from django.contrib.auth import get_user_model

    return accounts.scope_for_user(user_id=get_user_model().objects.get().pk)


def found(bench: Bench, **wanted: Any) -> set[UUID]:
    listed = selectors.list_runs(scope=bench.scope, wanted=RunFilter(**wanted))
    return {run.id for run in listed}


@pytest.mark.parametrize("has_ended", [False, True])
def test_each_filter_finds_its_runs_while_they_live_and_afterwards(
    bench: Bench, has_ended: bool
) -> None:
    runs.save(bench.scope)
    runs.save(bench.scope, name="other")
    a = starting.start_run(
        scope=bench.scope,
        agent="worker-bee",
        input='{"answer": "100% of the Harbour"}',
        tags=["nightly", "eu/west", "nightly"],
        metadata={"customer": "acme", "size": 3, "beta": True},
        session="chat-1",
    )
    b = starting.start_run(scope=bench.scope, agent="other", input='{"answer": "b"}')
    if has_ended:
        for run in (a, b):
            assert runs.advance(bench.scope, run.id).status is RunStatus.SUCCEEDED
    assert a.tags == ("nightly", "eu/west")
    for wanted in (
        {"agent": "worker-bee"},
        {"tags": ("nightly",)},
        {"tags": ("nightly", "eu/west"), "agent": "worker-bee"},
        {"metadata": {"customer": "acme"}},
        {"metadata": {"customer": "acme", "size": "3", "beta": "true"}},
        {"session": "chat-1"},
        {"text": "100% OF the harb"},
    ):
        assert found(bench, **wanted) == {a.id}, wanted
    both = {a.id, b.id}
    for wanted in (
        {"only_roots": True},
        {"started_by": a.started_by},
        {"max_cost": Decimal(1), "min_seconds": 0},
        {"since": a.created_at, "until": b.created_at + timedelta(hours=1)},
        {"status": RunStatus.SUCCEEDED if has_ended else RunStatus.QUEUED},
    ):
        assert found(bench, **wanted) == both, wanted
    for wanted in (
        {"tags": ("nightly", "absent")},
        {"metadata": {"customer": "acm"}},
        {"text": "1000"},
        {"min_cost": Decimal(1)},
        {"min_seconds": 3600},
        {"error": "deadline"},
        {"parent": a.id},
        {"retry_of": a.id},
        {"tool": "box_look"},
        {"until": a.created_at},
        {"status": RunStatus.FAILED},
    ):
        assert found(bench, **wanted) == set(), wanted


def test_pages_neither_repeat_nor_miss_a_run_while_others_arrive_and_end(bench: Bench) -> None:
    runs.save(bench.scope)
    first = [begin(bench) for _ in range(5)]
    runs.advance(bench.scope, first[1])
    seen: list[UUID] = []
    while page := selectors.list_runs(
        scope=bench.scope, limit=2, before=seen[-1] if seen else None
    ):
        seen += [run.id for run in page]
        begin(bench)
        runs.advance(bench.scope, first[0])
    assert seen == sorted(first, reverse=True)


def test_a_page_is_one_statement_beside_the_permission(bench: Bench) -> None:
    runs.save(bench.scope)
    for _ in range(3):
        begin(bench, tags=["a"])
    counts = set()
    for limit in (1, 3):
        with CaptureQueriesContext(connection) as queries:
            selectors.list_runs(scope=bench.scope, wanted=RunFilter(tags=("a",)), limit=limit)
        counts.add(sum('FROM "run"' in query["sql"] for query in queries))
    assert counts == {1}


def test_wrong_tags_are_refused_with_their_place(bench: Bench) -> None:
    runs.save(bench.scope)
    with pytest.raises(InvalidInput) as refusal:
        begin(bench, tags=["fine", "Not Fine"])
    assert refusal.value.errors[0]["path"] == "/tags/1"


def test_a_failed_run_is_done_again_as_a_new_run_that_names_it(bench: Bench) -> None:
    runs.save(bench.scope)
    run_id = begin(bench, tags=["a"], session="s", metadata={"k": 1}, priority=Priority.HIGH)
    with pytest.raises(Conflict):
        retrying.retry_run(scope=bench.scope, run_id=run_id)
    control.cancel_run(scope=bench.scope, run_id=run_id)
    runs.advance(bench.scope, run_id)
    runs.save_again(bench.scope)
    again = retrying.retry_run(scope=bench.scope, run_id=run_id)
    assert (again.retry_of, again.version, again.tags) == (run_id, 1, ("a",))
    assert (again.session, again.metadata, again.priority) == ("s", {"k": 1}, Priority.HIGH)
    assert found(bench, retry_of=run_id) == {again.id}
    assert runs.advance(bench.scope, again.id).status is RunStatus.SUCCEEDED


def test_only_a_person_puts_a_quarantined_run_back_where_it_stood(bench: Bench) -> None:
    runs.save(bench.scope)
    run = runs.start(bench.scope, calls=[["ask_person", {"question": "Well?"}]], answer="done")
    bench.rows(QUARANTINE + " RETURNING id", run.id)
    by_a_model = replace(bench.scope, is_autonomous=True)
    with pytest.raises(Forbidden):
        retrying.resume_quarantined(scope=by_a_model, run_id=run.id)
    person = scope_of_admin()
    back = retrying.resume_quarantined(scope=person, run_id=run.id)
    assert (back.id, back.status, back.error) == (run.id, RunStatus.QUEUED, None)
    assert bench.rows("SELECT crashes FROM run WHERE id = %s", run.id) == [(0,)]
    assert runs.advance(bench.scope, run.id).status.is_final
    with pytest.raises(Conflict):
        retrying.resume_quarantined(scope=person, run_id=run.id)


def test_a_bulk_action_is_counted_first_and_then_done_in_batches(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk, "BATCH", 2)
    runs.save(bench.scope)
    targets = {begin(bench, tags=["old"]) for _ in range(3)}
    begin(bench)
    wanted = RunFilter(tags=("old",), max_cost=Decimal(0))
    plan = bulk.plan_bulk(scope=bench.scope, action=BulkAction.CANCEL, wanted=wanted)
    assert (plan.matching, {run.id for run in plan.sample}) == (3, targets)
    with pytest.raises(Conflict, match="By now 3 fit, not 2"):
        bulk.start_bulk(scope=bench.scope, action=BulkAction.CANCEL, wanted=wanted, expected=2)
    job = bulk.start_bulk(scope=bench.scope, action=BulkAction.CANCEL, wanted=wanted, expected=3)
    late = begin(bench, tags=["old"])
    bulk.run_batch(job_id=str(job.id))
    half = selectors.get_bulk(scope=bench.scope, job_id=job.id)
    assert (half.done, half.finished_at) == (2, None)
    for _ in range(3):  # a repeated hint is harmless
        bulk.run_batch(job_id=str(job.id))
    whole = selectors.get_bulk(scope=bench.scope, job_id=job.id)
    assert (whole.total, whole.done, whole.refused) == (3, 3, 0)
    assert whole.finished_at is not None
    for run_id in targets:
        assert runs.advance(bench.scope, run_id).status is RunStatus.CANCELLED
    assert selectors.get_run(scope=bench.scope, run_id=late).status is RunStatus.QUEUED

    retry = bulk.start_bulk(scope=bench.scope, action=BulkAction.RETRY, wanted=wanted)
    again = bulk.start_bulk(scope=bench.scope, action=BulkAction.RETRY, wanted=wanted)
    for started in (retry, again):
        for _ in range(2):
            bulk.run_batch(job_id=str(started.id))
    counted = [selectors.get_bulk(scope=bench.scope, job_id=one.id) for one in (retry, again)]
    assert [(one.done, one.skipped) for one in counted] == [(3, 0), (0, 3)]
    assert bench.rows("SELECT count(DISTINCT retry_of) FROM run WHERE retry_of IS NOT NULL") == [
        (3,)
    ]


def test_a_bulk_job_whose_hint_was_lost_gets_another(bench: Bench) -> None:
    runs.save(bench.scope)
    begin(bench)
    job = bulk.start_bulk(scope=bench.scope, action=BulkAction.CANCEL, wanted=RunFilter())
    assert bulk.revive_bulk() == 0
    bench.rows("UPDATE run_bulk_job SET touched_at = now() - interval '2 min' RETURNING id")
    assert bulk.revive_bulk() == 1
    bulk.run_batch(job_id=str(job.id))
    assert bulk.revive_bulk() == 0
