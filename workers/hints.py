"""Taking hints out of the outbox: each by one, in the order in which they became due."""

from typing import Any, NamedTuple

import orjson
from django.db import connection

ADVANCE = "orchestration.advance"

_TAKE = """
DELETE FROM outbox WHERE id IN (
  SELECT id FROM outbox WHERE available_at <= now() AND (name = %(advance)s) = %(runs)s
  ORDER BY available_at, id LIMIT %(limit)s FOR UPDATE SKIP LOCKED)
RETURNING name, args
"""


class Hint(NamedTuple):
    job: str
    arguments: dict[str, Any]


def take(limit: int, *, runs: bool) -> list[Hint]:
    """Up to `limit` due hints, in the caller's transaction: those of runs, or all others."""
    with connection.cursor() as cursor:
        cursor.execute(_TAKE, {"advance": ADVANCE, "runs": runs, "limit": limit})
        return [Hint(job, orjson.loads(arguments)) for job, arguments in cursor.fetchall()]
