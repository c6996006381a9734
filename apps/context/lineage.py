"""What a space shows at a moment: its own revisions over its parent's, each up to a sequence
number.

A key that a space has a revision of, be it a deletion, hides the same key of what lies below.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import connection
from django.db.models import F

from apps.context.models import Entry, Revision, Space
from apps.context.types import Moment, Operation

NOW = 2**62  # later than every sequence number

_PRESENT = """
SELECT state.id FROM unnest(%(spaces)s::uuid[], %(seqs)s::bigint[])
  WITH ORDINALITY AS layer (space_id, seq, depth)
JOIN entry AS e ON e.space_id = layer.space_id
CROSS JOIN LATERAL (
  SELECT v.id, v.operation FROM revision AS v
  WHERE v.entry_id = e.id AND v.seq <= layer.seq ORDER BY v.seq DESC LIMIT 1
) AS state
WHERE state.operation <> 'delete' AND starts_with(e.key, %(prefix)s)
  AND (%(before)s::uuid IS NULL OR e.id < %(before)s::uuid)
  AND NOT EXISTS (
    SELECT 1 FROM unnest(%(spaces)s::uuid[], %(seqs)s::bigint[])
      WITH ORDINALITY AS above (space_id, seq, depth)
    JOIN entry AS own ON own.space_id = above.space_id AND own.key = e.key
    JOIN revision AS v ON v.entry_id = own.id AND v.seq <= above.seq
    WHERE above.depth < layer.depth)
ORDER BY e.id DESC LIMIT %(limit)s
"""
_COUNT = """
WITH layer AS (
  SELECT * FROM unnest(%(spaces)s::uuid[], %(seqs)s::bigint[])
    WITH ORDINALITY AS l (space_id, seq, depth)
), state AS (
  SELECT DISTINCT ON (e.key) v.operation, v.chunks FROM layer
  JOIN entry AS e ON e.space_id = layer.space_id
  JOIN revision AS v ON v.entry_id = e.id AND v.seq <= layer.seq
  ORDER BY e.key, layer.depth, v.seq DESC
)
SELECT count(*), coalesce(sum((SELECT count(DISTINCT id) FROM unnest(chunks) AS part (id))), 0)
FROM state WHERE operation <> 'delete'
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """The revisions of `space` up to and with `seq`."""

    space: Space
    seq: int


def layers_of(space: Space, at: int | None = None) -> tuple[Layer, ...]:
    """The space as of `at` and what it stands on, the topmost first."""
    found = [Layer(space=space, seq=NOW if at is None else at)]
    while space.parent is not None and space.base_seq is not None:
        found.append(Layer(space=space.parent, seq=space.base_seq))
        space = space.parent
    return tuple(found)


def seq_at(space: Space, moment: Moment | None) -> int | None:
    """The sequence number of the last change at or before `moment`; None stays None (now)."""
    if not isinstance(moment, datetime):
        return moment
    earlier = Revision.objects.filter(space=space, created_at__lte=moment)
    found = earlier.order_by("-created_at", "-seq").values_list("seq", flat=True).first()
    return found or 0


def revision_at(layers: Sequence[Layer], key: str) -> Revision | None:
    """The newest revision of `key` that the layers show; it may be a deletion."""
    for layer in layers:
        found = (
            Revision.objects.filter(entry__space=layer.space, entry__key=key, seq__lte=layer.seq)
            .select_related("entry")
            .order_by("-seq")
            .first()
        )
        if found is not None:
            return found
    return None


def head_at(space: Space, key: str, at: int | None = None) -> Revision | None:
    """The revision that `key` has in the space; None where there is none or it was deleted."""
    found = revision_at(layers_of(space, at), key)
    return None if found is None or found.operation == Operation.DELETE else found


def heads_at(space: Space, keys: Sequence[str]) -> dict[str, Revision]:
    """`head_at` of each key that has one."""
    newest: dict[str, Revision] = {}
    for layer in layers_of(space):
        found = Revision.objects.filter(
            entry__space=layer.space, entry__key__in=set(keys) - set(newest), seq__lte=layer.seq
        )
        one_each = found.select_related("entry").order_by("entry_id", "-seq").distinct("entry_id")
        newest |= {revision.entry.key: revision for revision in one_each}
    return {key: head for key, head in newest.items() if head.operation != Operation.DELETE}


def list_present(
    layers: Sequence[Layer], *, limit: int, before: UUID | None = None, prefix: str = ""
) -> list[Revision]:
    """One revision for each key that is there, with its entry, the newest entry first."""
    values: dict[str, Any] = {
        "spaces": [layer.space.id for layer in layers],
        "seqs": [layer.seq for layer in layers],
        "prefix": prefix,
        "before": before,
        "limit": limit,
    }
    with connection.cursor() as cursor:
        cursor.execute(_PRESENT, values)
        wanted = [row[0] for row in cursor.fetchall()]
    found = Revision.objects.filter(id__in=wanted).select_related("entry")
    return sorted(found.defer("chunks", "starts"), key=lambda v: v.entry_id, reverse=True)


def count_present(layers: Sequence[Layer]) -> tuple[int, int]:
    """How many entries the layers show, and of how many chunks."""
    values: dict[str, Any] = {
        "spaces": [layer.space.id for layer in layers],
        "seqs": [layer.seq for layer in layers],
    }
    with connection.cursor() as cursor:
        cursor.execute(_COUNT, values)
        entries, chunks = cursor.fetchone() or (0, 0)
    return int(entries), int(chunks)


def own_entry(space: Space, key: str, kind: str, *, head: Revision | None) -> Entry:
    """The row that the next revision of `key` goes to, after its newest one, `head`. In a branch it
    takes the place of the parent's, whose numbers it carries on. The caller holds the space's lock.
    """
    if head is None:
        return Entry.objects.create(space=space, key=key, kind=kind)
    if head.entry.space_id == space.id:
        return head.entry
    gone = head.operation == Operation.DELETE
    if not gone:
        Space.objects.filter(id=space.id).update(
            chunk_count=F("chunk_count") - len(set(head.chunks))
        )
    return Entry.objects.create(
        space=space, key=key, kind=head.kind, head_number=head.number, is_deleted=gone
    )
