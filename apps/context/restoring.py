"""Makes many keys say what an earlier or another revision says, in one transaction and without a
model: chunks of the same hash are born again from what is known of them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeGuard

from django.db import connection

from apps.context import lineage, revising, turns
from apps.context.models import Entry, Revision, Space
from apps.context.types import Operation
from octavo.kernel import ids
from octavo.kernel.scope import Scope

_TARGET = """
WITH target AS MATERIALIZED (
  SELECT * FROM unnest(%(entries)s::uuid[], %(revisions)s::uuid[]) AS t (entry_id, revision_id)
), said AS MATERIALIZED (
  SELECT t.entry_id, v.metadata, old.hash, min(old.id) AS id
  FROM target AS t JOIN revision AS v ON v.id = t.revision_id
  CROSS JOIN unnest(v.chunks) AS part (id) JOIN chunk AS old ON old.id = part.id
  GROUP BY 1, 2, 3
)
"""
_LET_DIE = """
UPDATE chunk AS c SET died = %(seq)s FROM target AS t
WHERE c.entry_id = t.entry_id AND c.died IS NULL
  AND NOT EXISTS (SELECT 1 FROM said WHERE said.entry_id = c.entry_id AND said.hash = c.hash)
"""
# What was embedded by another model since has its newer vector here; terms are hashed with the
# space, so those of another space are made from the text again.
_GIVE_BIRTH = """
INSERT INTO chunk (space_id, entry_id, hash, born, model_id, dimensions, emb, bm, terms, metadata)
SELECT %(space)s, said.entry_id, said.hash, %(seq)s, coalesce(k.model_id, old.model_id),
       coalesce(vector_dims(k.emb)::smallint, old.dimensions), coalesce(k.emb, old.emb), old.bm,
       CASE WHEN old.space_id = %(space)s THEN old.terms ELSE lex_scoped_terms(%(space)s, (
         SELECT lex_passage(%(kind)s, b.heading, b.text, b.context) FROM blob AS b
         WHERE b.organisation_id = %(organisation)s AND b.hash = said.hash)) END,
       said.metadata
FROM said JOIN chunk AS old ON old.id = said.id
LEFT JOIN embedding AS k ON k.organisation_id = %(organisation)s AND k.hash = said.hash
  AND k.model_id = (
    SELECT model_id FROM chunk WHERE space_id = %(space)s AND died IS NULL ORDER BY id DESC LIMIT 1)
ON CONFLICT DO NOTHING
"""
_APPEND = """
INSERT INTO revision (id, space_id, entry_id, number, seq, operation, restores, kind, author_kind,
  author_id, author_name, run_id, step, why, metadata, trust, sources, valid_from, valid_to,
  expires_at, text_hash, source_hash, length, chunks, starts)
SELECT t.id, %(space)s, t.entry_id, e.head_number + 1, %(seq)s,
  CASE WHEN v.id IS NULL THEN 'delete' ELSE %(operation)s END, v.number, coalesce(v.kind, e.kind),
  %(author_kind)s, %(author_id)s, %(author_name)s, %(run)s, %(step)s, %(why)s,
  coalesce(v.metadata, h.metadata), coalesce(v.trust, h.trust), coalesce(v.sources, '[]'),
  v.valid_from, v.valid_to, CASE WHEN v.expires_at > now() THEN v.expires_at END,
  coalesce(v.text_hash, ''), v.source_hash, coalesce(v.length, 0),
  ARRAY(SELECT live.id FROM unnest(v.chunks) WITH ORDINALITY AS part (id, place)
        JOIN chunk AS old ON old.id = part.id
        JOIN chunk AS live ON live.entry_id = t.entry_id AND live.hash = old.hash
          AND live.died IS NULL ORDER BY part.place),
  coalesce(v.starts, '{}')
FROM unnest(%(ids)s::uuid[], %(entries)s::uuid[], %(revisions)s::uuid[], %(heads)s::uuid[])
  AS t (id, entry_id, revision_id, head_id)
JOIN entry AS e ON e.id = t.entry_id
LEFT JOIN revision AS v ON v.id = t.revision_id
LEFT JOIN revision AS h ON h.id = t.head_id
"""
_ADVANCE = """
UPDATE entry AS e SET head_number = v.number, is_deleted = v.operation = 'delete', kind = v.kind,
  expires_at = v.expires_at
FROM revision AS v WHERE v.id = ANY(%(ids)s) AND v.entry_id = e.id
"""
_COUNT = """
UPDATE space SET seq = %(seq)s, chunk_count = chunk_count + %(chunks)s,
  entry_count = entry_count + %(present)s
WHERE id = %(space)s
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """`key` is to say what `revision` says (None: it is to be gone), instead of `head`."""

    key: str
    head: Revision | None
    revision: Revision | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    operation: Operation
    why: str
    step: str


def differs(one: Revision | None, other: Revision | None) -> bool:
    """Whether the two say different things; a deletion says what an absent revision says."""
    return _meaning(one) != _meaning(other)


def is_there(revision: Revision | None) -> TypeGuard[Revision]:
    return revision is not None and revision.operation != Operation.DELETE


def restore(*, scope: Scope, space: Space, targets: Sequence[Target], reason: Reason) -> int:
    """Append a revision to each key, all at the next sequence number; how many chunks changed.

    The caller holds the lock of `space` and a transaction.
    """
    entries = [_entry(space, target) for target in targets]
    values: dict[str, Any] = {
        "space": space.id,
        "kind": space.kind,
        "organisation": scope.organisation_id,
        "seq": space.seq + 1,
        "ids": [ids.new() for _ in targets],
        "entries": [entry.id for entry in entries],
        "revisions": [t.revision.id if is_there(t.revision) else None for t in targets],
        "heads": [t.head.id if t.head else None for t in targets],
        "author_kind": scope.principal.kind,
        "author_id": scope.principal.id,
        "author_name": scope.principal.name,
        "run": scope.run_id,
        "operation": reason.operation,
        "why": reason.why,
        "step": reason.step,
    }
    with connection.cursor() as cursor:
        cursor.execute(_TARGET + _LET_DIE, values)
        died = int(cursor.rowcount)
        cursor.execute(_TARGET + _GIVE_BIRTH, values)
        born = int(cursor.rowcount)
        cursor.execute(_APPEND, values)
        revising.describe_chunks(values["ids"])
        cursor.execute(_ADVANCE, values)
        present = sum(is_there(t.revision) for t in targets)
        present -= sum(entry.head_number > 0 and not entry.is_deleted for entry in entries)
        cursor.execute(_COUNT, values | {"chunks": born - died, "present": present})
    turns.settle(space=space, keys=[target.key for target in targets])
    return born + died


def _entry(space: Space, target: Target) -> Entry:
    said = target.revision or target.head
    return lineage.own_entry(space, target.key, said.kind if said else "", head=target.head)


def _meaning(revision: Revision | None) -> Mapping[str, Any] | None:
    if revision is None or revision.operation == Operation.DELETE:
        return None
    return {
        "text": bytes(revision.text_hash),
        "kind": revision.kind,
        "metadata": revision.metadata,
        "trust": revision.trust,
        "sources": revision.sources,
        "valid": (revision.valid_from, revision.valid_to),
    }
