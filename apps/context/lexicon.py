"""Document frequencies per space: a search weighs terms by the spaces it may read and by nothing
else.
"""

from uuid import UUID

from django.db import connection, transaction

_STALE_SHARE = 0.2

_NOTE = """
INSERT INTO lexicon (space_id, chunks, changed) VALUES (%s, 0, %s)
ON CONFLICT (space_id) DO UPDATE SET changed = lexicon.changed + excluded.changed
RETURNING chunks, changed
"""
_CLAIM = "SELECT 1 FROM lexicon WHERE space_id = %s FOR UPDATE SKIP LOCKED"
_FORGET = "DELETE FROM lexicon_term WHERE space_id = %s"
_COUNT = """
INSERT INTO lexicon_term (space_id, term, df)
SELECT %s, term, count(*)
FROM chunk CROSS JOIN unnest(terms) AS term
WHERE space_id = %s AND died IS NULL
GROUP BY term
HAVING count(*) > 1
"""
_COUNTED = """
UPDATE lexicon SET changed = 0,
  chunks = (SELECT count(*) FROM chunk WHERE space_id = %s AND died IS NULL)
WHERE space_id = %s
"""


def note_change(*, space_id: UUID, chunks: int) -> None:
    """Count again once a fifth of the space has changed since the last count.

    Call after the commit: a count that a crash loses is made up for by the next write.
    """
    if not chunks:
        return
    with connection.cursor() as cursor:
        cursor.execute(_NOTE, [space_id, chunks])
        counted, changed = cursor.fetchone() or (0, 0)
    if changed > counted * _STALE_SHARE:
        count_terms(space_id=space_id)


def count_terms(*, space_id: UUID) -> None:
    """Count the terms of every live chunk. Leaves it to the other process if one is at it."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(_CLAIM, [space_id])
        if cursor.fetchone() is None:
            return
        cursor.execute(_FORGET, [space_id])
        cursor.execute(_COUNT, [space_id, space_id])
        cursor.execute(_COUNTED, [space_id, space_id])
