"""A job exists if and only if the change that promised it was committed."""

from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta

import pytest
import redis
from django.db import connection, transaction

from octavo.kernel import events, jobs
from octavo.kernel.models import Outbox


class Abandoned(Exception):
    pass


def enqueue_and_roll_back() -> None:
    with suppress(Abandoned), transaction.atomic():
        jobs.enqueue("orchestration.advance", run_id="0198")
        raise Abandoned


@pytest.fixture
def pings(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator["redis.client.PubSub"]:
    monkeypatch.setattr(jobs, "PING_CHANNEL", "octavo:test-outbox")  # one for all of its databases
    with redis.Redis.from_url(redis_url) as client, client.pubsub() as listener:
        listener.subscribe(jobs.PING_CHANNEL)
        assert listener.get_message(timeout=5)  # the confirmation
        yield listener


@pytest.fixture
def event() -> Iterator[str]:
    name = "kernel.tested"
    yield name
    events._subscribers.pop(name, None)


def enqueued() -> list[tuple[str, dict[str, jobs.Argument]]]:
    return list(Outbox.objects.order_by("id").values_list("name", "args"))


def test_a_committed_change_leaves_its_job() -> None:
    with transaction.atomic():
        jobs.enqueue("orchestration.advance", run_id="0198")
    assert enqueued() == [("orchestration.advance", {"run_id": "0198"})]


def test_a_rolled_back_change_leaves_no_job() -> None:
    enqueue_and_roll_back()
    assert enqueued() == []


def test_relays_are_woken_after_the_commit_and_not_before(pings: "redis.client.PubSub") -> None:
    with transaction.atomic():
        jobs.enqueue("orchestration.advance", run_id="0198")
        assert pings.get_message(timeout=0.05) is None
    message = pings.get_message(timeout=5)
    assert message is not None
    assert message["data"] == b"1"


def test_a_rolled_back_change_wakes_nobody(pings: "redis.client.PubSub") -> None:
    enqueue_and_roll_back()
    assert pings.get_message(timeout=0.05) is None


def test_a_delayed_job_is_due_later_by_the_database_s_clock() -> None:
    jobs.enqueue("orchestration.advance", run_id="0198", delay=timedelta(minutes=5))
    with connection.cursor() as cursor:
        cursor.execute("SELECT available_at - now() BETWEEN '4 min' AND '5 min' FROM outbox")
        assert cursor.fetchone() == (True,)


def test_an_event_becomes_one_job_per_subscriber(event: str) -> None:
    events.subscribe(event, job="context.ingest")
    events.subscribe(event, job="orchestration.advance")
    events.subscribe(event, job="orchestration.advance")
    with transaction.atomic():
        events.emit(event, run_id="0198")
    assert enqueued() == [
        ("context.ingest", {"run_id": "0198"}),
        ("orchestration.advance", {"run_id": "0198"}),
    ]
    assert {"context.ingest", "orchestration.advance"} <= events.subscribed_jobs()


def test_an_event_without_subscribers_leaves_nothing(event: str) -> None:
    events.emit(event, run_id="0198")
    assert enqueued() == []


def test_a_dead_redis_does_not_stop_a_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    from octavo.kernel import redis as wakeups

    gone = redis.Redis.from_url("redis://127.0.0.1:1/0", retry=wakeups._ONCE)
    monkeypatch.setattr(wakeups, "client", lambda: gone)
    with transaction.atomic():
        jobs.enqueue("orchestration.advance", run_id="0198")
    assert len(enqueued()) == 1
