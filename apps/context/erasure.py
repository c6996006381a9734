"""Erasure removes text from every revision and every copy, unless another entry still says it."""

from collections.abc import Sequence

from django.db import connection

from apps.context import lineage
from apps.context.models import Entry, Space
from octavo.kernel.scope import Scope

_LIVING = "SELECT count(*) FROM chunk WHERE entry_id = %s AND died IS NULL"
_DROP_CHUNKS = "DELETE FROM chunk WHERE entry_id = %s RETURNING hash"
_HOLD_BLOBS = """
SELECT 1 FROM blob WHERE organisation_id = %s AND hash = ANY(%s) ORDER BY hash FOR UPDATE
"""
_ORPHANS = """
SELECT gone.hash FROM unnest(%(hashes)s::bytea[]) AS gone (hash)
WHERE NOT EXISTS (
  SELECT 1 FROM chunk JOIN space ON space.id = chunk.space_id
  WHERE chunk.hash = gone.hash AND space.organisation_id = %(organisation)s
)
"""
_DROP_VECTORS = "DELETE FROM embedding WHERE organisation_id = %s AND hash = ANY(%s)"
_DROP_BLOBS = "DELETE FROM blob WHERE organisation_id = %s AND hash = ANY(%s)"


def lock_branches(space: Space) -> list[Space]:
    """Every branch of the space and of its branches, closed ones too, with their locks."""
    found: list[Space] = []
    above = [space.id]
    while above:
        below = list(
            Space.objects.select_for_update(of=("self",))
            .select_related("parent")
            .filter(parent__in=above)
            .order_by("id")
        )
        found += below
        above = [branch.id for branch in below]
    return found


def erase_in_branches(*, scope: Scope, branches: Sequence[Space], key: str) -> int:
    """Texts removed. What the branches read of the key from their parent is gone with it."""
    texts = 0
    for branch in branches:
        entry = Entry.objects.filter(space=branch, key=key).first()
        if entry is not None:
            texts += erase(scope=scope, space=branch, entry=entry)[1]
        entries, chunks = lineage.count_present(lineage.layers_of(branch))
        branch.entry_count, branch.chunk_count = entries, chunks
        branch.save(update_fields=["entry_count", "chunk_count"])
    return texts


def erase(*, scope: Scope, space: Space, entry: Entry) -> tuple[int, int]:
    """Live chunks and texts removed. The caller holds the space's lock and a transaction."""
    was_live = not entry.is_deleted
    with connection.cursor() as cursor:
        cursor.execute(_LIVING, [entry.id])
        (living,) = cursor.fetchone() or (0,)
        cursor.execute(_DROP_CHUNKS, [entry.id])
        hashes = sorted({bytes(row[0]) for row in cursor.fetchall()})
        # A writer that reuses one of these texts holds its row: wait for it, then look again.
        cursor.execute(_HOLD_BLOBS, [scope.organisation_id, hashes])
        cursor.execute(_ORPHANS, {"hashes": hashes, "organisation": scope.organisation_id})
        orphans = [bytes(row[0]) for row in cursor.fetchall()]
        cursor.execute(_DROP_VECTORS, [scope.organisation_id, orphans])
        cursor.execute(_DROP_BLOBS, [scope.organisation_id, orphans])
        entry.delete()
    space.seq += 1
    space.entry_count -= int(was_live)
    space.chunk_count -= living
    space.save(update_fields=["seq", "entry_count", "chunk_count"])
    return living, len(orphans)
