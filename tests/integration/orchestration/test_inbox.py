"""Mail and parking: in whatever order, no mail is lost and no run sleeps on unread mail."""

import random
import threading
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID

from django.db import connections

from apps.orchestration import inbox, journal
from apps.orchestration.records import Fenced
from apps.orchestration.types.runs import RunStatus
from apps.orchestration.waits import Wait
from tests import runs
from tests.runs import Bench

PARENTS = 12
LETTERS = 25
WAITS = (Wait(kind="signal", waits_for="mail"),)


def _closing(work: object, *arguments: object) -> object:
    try:
        return work(*arguments)  # type: ignore[operator]
    finally:
        connections.close_all()


def _take_runs_from_the_outbox(bench: Bench) -> list[UUID]:
    rows = bench.rows("DELETE FROM outbox RETURNING args ->> 'run_id'")
    return [UUID(run_id) for (run_id,) in rows]


def _read_until_parked(run_id: UUID, read: dict[UUID, list[int]]) -> None:
    """What an activation does with mail: read, think a moment, park unless more has come."""
    claimed = journal.claim(run_id=run_id, owner="test")
    if claimed is None:
        return
    _, head = claimed
    while True:
        for letter in journal.read_mail(run_id, after=head.seen_mail):
            read[run_id].append(letter.seq)
            head.seen_mail = letter.seq
        if random.random() < 0.5:
            threading.Event().wait(random.random() * 0.003)
        if journal.park(run_id, head, WAITS):
            return


def test_no_mail_is_lost_between_parking_and_waking(bench: Bench) -> None:
    runs.save(bench.scope)
    parents = [runs.start(bench.scope).id for _ in range(PARENTS)]
    read: dict[UUID, list[int]] = {parent: [] for parent in parents}
    done = threading.Event()

    def pump() -> None:
        while not done.is_set():
            for run_id in _take_runs_from_the_outbox(bench):
                _read_until_parked(run_id, read)

    def send(share: int) -> None:
        letters = [(p, n) for p in parents for n in range(LETTERS) if n % 4 == share]
        random.Random(share).shuffle(letters)
        for parent, n in letters:
            inbox.deliver(parent, kind="signal", body={}, dedupe_key=f"{n}")

    with ThreadPoolExecutor(7) as pool:
        pumps = [pool.submit(_closing, pump) for _ in range(3)]
        try:
            for sender in [pool.submit(_closing, send, share) for share in range(4)]:
                sender.result()
            parked = "SELECT count(*) FROM run WHERE status = 'waiting' AND mail_seq = read_seq"
            runs.eventually(
                lambda: bench.rows(parked) == [(PARENTS,)] or any(p.done() for p in pumps),
                what="a run sleeps or is stuck",
            )
        finally:
            done.set()
        for pumping in pumps:
            pumping.result()

    assert all(seqs == list(range(1, LETTERS + 1)) for seqs in read.values())


def test_the_same_mail_arrives_once_however_often_it_is_sent(bench: Bench) -> None:
    runs.save(bench.scope)
    run_id = runs.start(bench.scope).id

    def send(_: int) -> bool:
        return inbox.deliver(run_id, kind="signal", body={}, dedupe_key="same")

    with ThreadPoolExecutor(8) as pool:
        delivered = list(pool.map(lambda n: _closing(send, n), range(16)))

    assert delivered.count(True) == 1
    assert [letter.seq for letter in journal.read_mail(run_id, after=0)] == [1]


def test_a_parked_run_is_woken_with_a_hint_and_a_busy_one_without(bench: Bench) -> None:
    runs.save(bench.scope)
    run_id = runs.start(bench.scope).id
    _take_runs_from_the_outbox(bench)
    claimed = journal.claim(run_id=run_id, owner="test")
    assert claimed is not None
    inbox.deliver(run_id, kind="signal", body={}, dedupe_key="1")
    assert _take_runs_from_the_outbox(bench) == []

    assert not journal.park(run_id, claimed[1], WAITS)
    claimed[1].seen_mail = 1
    assert journal.park(run_id, claimed[1], WAITS)
    inbox.deliver(run_id, kind="signal", body={}, dedupe_key="2")
    assert _take_runs_from_the_outbox(bench) == [run_id]


def test_a_due_timer_becomes_mail_once(bench: Bench) -> None:
    runs.save(bench.scope)
    run_id = runs.start(bench.scope).id
    bench.rows(
        "INSERT INTO timer (run_id, key, fire_at) VALUES (%s, 'nap', now()) RETURNING id", run_id
    )
    assert inbox.fire_timers() == 1
    assert inbox.fire_timers() == 0
    assert [letter.kind for letter in journal.read_mail(run_id, after=0)] == ["timer"]


def test_mail_to_a_run_that_is_over_is_refused(bench: Bench) -> None:
    runs.save(bench.scope)
    run_id = runs.start(bench.scope).id
    runs.advance(bench.scope, run_id)
    assert not inbox.deliver(run_id, kind="signal", body={}, dedupe_key="late")


def test_a_holder_whose_lease_was_taken_can_neither_append_nor_park(bench: Bench) -> None:
    runs.save(bench.scope)
    run_id = runs.start(bench.scope).id
    first = journal.claim(run_id=run_id, owner="one")
    assert first is not None
    bench.rows("UPDATE run SET lease_until = now() - interval '1 s' RETURNING id")
    second = journal.claim(run_id=run_id, owner="two")
    assert second is not None
    assert second[1].fence > first[1].fence
    for write in (
        lambda: journal.park(run_id, first[1], WAITS),
        lambda: journal.finish(run_id, first[1], status=RunStatus.FAILED),
    ):
        try:
            write()
        except Fenced:
            continue
        raise AssertionError("a fenced holder wrote")
    assert journal.claim(run_id=run_id, owner="three") is None
