"""Moves a space to another embedding model chunk by chunk, while searches and writes go on."""

import math
import time
from typing import Any
from uuid import UUID

from django.db import connection

from apps.context import embeddings
from apps.context.chunking import Piece
from apps.context.models import Space
from octavo.kernel.errors import Unavailable
from octavo.kernel.scope import Scope

_BATCH = 256
_OUTDATED = r"""
SELECT DISTINCT ON (blob.hash) blob.hash, blob.heading, blob.text
FROM chunk JOIN blob ON blob.organisation_id = %(organisation)s AND blob.hash = chunk.hash
WHERE chunk.space_id = %(space)s AND chunk.died IS NULL
  AND chunk.model_id IS DISTINCT FROM %(model)s AND blob.text ~ '\S'
ORDER BY blob.hash
LIMIT %(limit)s
"""
_RENEW = """
UPDATE chunk SET model_id = known.model_id, dimensions = vector_dims(known.emb), emb = known.emb
FROM embedding AS known
WHERE chunk.space_id = %(space)s AND chunk.died IS NULL AND chunk.hash = ANY(%(hashes)s)
  AND known.organisation_id = %(organisation)s AND known.hash = chunk.hash
  AND known.model_id = %(model)s
"""


def renew(*, scope: Scope, space: Space, seconds: float = math.inf) -> int:
    """How many chunks got a new vector, one batch after the other until all have it or so many
    seconds are over. Safe to stop and start again at any point.

    Raises `Unavailable` while another model of the route answers in place of its first.
    """
    renewed, until = 0, time.monotonic() + seconds
    model_id = embeddings.active_model(scope=scope)
    while time.monotonic() < until and (texts := _outdated(scope, space, model_id)):
        if embeddings.ensure(scope=scope, texts=texts).model_id != model_id:
            raise Unavailable(
                f"The first model of the route {embeddings.ROUTE!r} does not answer, and the "
                "vectors of another one would have to be made again. Try again when it is back."
            )
        with connection.cursor() as cursor:
            values: dict[str, Any] = {
                "space": space.id,
                "organisation": scope.organisation_id,
                "model": model_id,
                "hashes": list(texts),
            }
            cursor.execute(_RENEW, values)
            renewed += cursor.rowcount
    return renewed


def _outdated(scope: Scope, space: Space, model_id: UUID) -> dict[bytes, str]:
    with connection.cursor() as cursor:
        values: dict[str, Any] = {
            "organisation": scope.organisation_id,
            "space": space.id,
            "model": model_id,
            "limit": _BATCH,
        }
        cursor.execute(_OUTDATED, values)
        return {
            bytes(key): Piece(text=text, heading=heading, start=0).indexed
            for key, heading, text in cursor.fetchall()
        }
