"""Work is promised in the caller's transaction: the change and its job exist both, or neither."""

from collections.abc import Mapping, Sequence
from datetime import timedelta

import orjson
from django.db import connection, transaction

from octavo.kernel import redis, sql
from octavo.kernel.models import Outbox

PING_CHANNEL = "octavo:outbox"
Argument = str | int

_INSERT = """
INSERT INTO outbox (name, args, available_at)
SELECT %(name)s, args, now() + %(delay)s::interval FROM unnest(%(arguments)s::jsonb[]) AS args
"""


def enqueue(name: str, *, delay: timedelta = timedelta(0), **arguments: Argument) -> None:
    """Promise to run the job `name` (registered in `workers/tasks`) with these ids, never data.

    Delivery is at least once and in no particular order; a job must be idempotent.
    """
    enqueue_all(name, [arguments], delay=delay)


def enqueue_all(
    name: str, arguments: Sequence[Mapping[str, Argument]], *, delay: timedelta = timedelta(0)
) -> None:
    """Promise to run the job `name` once with each of these arguments, in one statement."""
    if not arguments:
        return
    written = [orjson.dumps(each).decode() for each in arguments]
    sql.run(_INSERT, name=name, arguments=written, delay=delay)
    if not delay:
        transaction.on_commit(ping)


def ping() -> None:
    """Wake the relays now instead of at their next poll. Call after commit."""
    redis.publish(PING_CHANNEL, b"1")


def oldest_waiting_seconds() -> float:
    """How long ago the job that has waited longest was due; 0 when none is."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT extract(epoch FROM now() - min(available_at)) FROM outbox")
        (seconds,) = cursor.fetchone()
    return max(0.0, float(seconds or 0))


def count_waiting() -> int:
    """How many promised jobs of the installation are not published yet."""
    return Outbox.objects.count()
