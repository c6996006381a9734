"""One revision in one transaction: the space is locked, chunks are born and die, counters move."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import connection
from django.db.models import F
from psycopg.types.json import Jsonb

from apps.context import lineage, turns
from apps.context.chunking import Piece
from apps.context.models import Entry, Revision, Space
from apps.context.types import EntryKind, Operation
from octavo.kernel import events
from octavo.kernel.errors import Conflict
from octavo.kernel.scope import Scope

_KEEP_BLOBS = """
INSERT INTO blob (organisation_id, hash, heading, text, context)
SELECT %s, new.hash, new.heading, new.text, new.context
FROM unnest(%s::bytea[], %s::text[], %s::text[], %s::text[]) AS new (hash, heading, text, context)
ORDER BY new.hash
ON CONFLICT DO NOTHING
"""
_HOLD_BLOBS = """
SELECT hash FROM blob WHERE organisation_id = %s AND hash = ANY(%s) FOR KEY SHARE
"""
_LET_DIE = """
UPDATE chunk SET died = %s WHERE entry_id = %s AND died IS NULL AND NOT hash = ANY(%s::bytea[])
"""
_GIVE_BIRTH = """
INSERT INTO chunk (space_id, entry_id, hash, born, model_id, dimensions, emb, bm, terms, metadata)
SELECT %(space)s, %(entry)s, new.hash, %(seq)s, known.model_id, vector_dims(known.emb), known.emb,
       lex_weights(lex.terms), lex_scoped_terms(%(space)s, lex.terms), %(metadata)s
FROM unnest(%(hashes)s::bytea[]) WITH ORDINALITY AS new (hash, place)
JOIN blob AS b ON b.organisation_id = %(organisation)s AND b.hash = new.hash
CROSS JOIN LATERAL (
  SELECT lex_passage(%(kind)s, b.heading, b.text, b.context) AS terms) AS lex
LEFT JOIN embedding AS known
  ON known.organisation_id = %(organisation)s AND known.hash = new.hash
  AND known.model_id = %(model)s
ORDER BY new.place
ON CONFLICT DO NOTHING
RETURNING hash, id, model_id IS NOT NULL
"""
_DESCRIBE = """
UPDATE chunk AS c SET metadata = v.metadata FROM revision AS v
WHERE v.id = ANY(%s) AND c.entry_id = v.entry_id AND c.died IS NULL AND c.metadata <> v.metadata
"""
_LIVING = "SELECT hash, id FROM chunk WHERE entry_id = %s AND died IS NULL"


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """What the next revision of `key` is to say. `base` is the head its author had read.

    `any_metadata`: none was given, so a head with other metadata says the same.
    """

    key: str
    operation: Operation
    why: str
    base: int | None = None
    kind: EntryKind = EntryKind.DOCUMENT
    pieces: Sequence[Piece] = ()
    text_hash: bytes = b""
    source_hash: bytes | None = None
    model_id: UUID | None = None
    metadata: Mapping[str, Any]
    any_metadata: bool = False
    trust: str
    sources: Sequence[Mapping[str, Any]] = ()
    valid_from: datetime | None = None
    valid_to: datetime | None = None
    expires_at: datetime | None = None
    step: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Revised:
    """`revision` is the head now; not `is_new` if it said the same already."""

    revision: Revision
    entry: Entry
    born: int
    died: int
    is_new: bool = True


def hash_of(text: str) -> bytes:
    """The SHA-256 that tells a draft's text from the head's."""
    return hashlib.sha256(text.encode(errors="replace")).digest()


def lock_space(space_id: UUID) -> Space:
    """The one lock of a write: writers of one space take turns. Raises `Conflict` for a branch that
    was merged.
    """
    space = Space.objects.select_for_update().get(id=space_id)
    if space.merged_at is not None:
        raise Conflict(
            f"The branch {space.name!r} was merged, so nothing more is written to it. Write to the "
            "space it was merged into, or begin a new branch."
        )
    return space


def find_of_step(*, scope: Scope, space: Space, key: str, step: str) -> Revision | None:
    """What this step of this run wrote to `key` before it was tried again."""
    if scope.run_id is None or not step:
        return None
    written = Revision.objects.filter(space=space, entry__key=key, run_id=scope.run_id, step=step)
    return written.select_related("entry").first()


def revise(*, scope: Scope, space: Space, draft: Draft) -> Revised:
    """Append the revision to a space locked by `lock_space`, unless the draft is a write of what
    the head says. Raises `Conflict` with the head if `draft.base` is not it, and without one if a
    text of the draft was erased since it was embedded.
    """
    if done := find_of_step(scope=scope, space=space, key=draft.key, step=draft.step):
        return Revised(revision=done, entry=done.entry, born=0, died=0)
    head = lineage.revision_at(lineage.layers_of(space), draft.key)
    check_base(key=draft.key, head=head, base=draft.base)
    if head and says(head, draft):
        return Revised(revision=head, entry=head.entry, born=0, died=0, is_new=False)
    entry = lineage.own_entry(space, draft.key, draft.kind, head=head)
    seq = space.seq + 1
    chunks, born, died = _turn_over(scope, space, entry, draft, seq)
    revision = Revision.objects.create(
        space=space,
        entry=entry,
        number=entry.head_number + 1,
        seq=seq,
        operation=draft.operation,
        kind=draft.kind,
        author_kind=scope.principal.kind,
        author_id=scope.principal.id,
        author_name=scope.principal.name,
        run_id=scope.run_id,
        step=draft.step,
        why=draft.why,
        metadata=dict(draft.metadata),
        trust=draft.trust,
        sources=list(draft.sources),
        valid_from=draft.valid_from,
        valid_to=draft.valid_to,
        expires_at=draft.expires_at,
        text_hash=draft.text_hash,
        source_hash=draft.source_hash,
        length=sum(len(piece.text) for piece in draft.pieces),
        chunks=[chunks[piece.hash] for piece in draft.pieces],
        starts=[piece.start for piece in draft.pieces],
    )
    if draft.operation != Operation.DELETE:
        events.emit("context.entry_written", revision_id=str(revision.id))
    _advance(space, entry, revision, chunks=born - died)
    turns.settle(space=space, keys=[draft.key])
    return Revised(revision=revision, entry=entry, born=born, died=died)


def says(head: Revision, draft: Draft) -> bool:
    """Whether the draft is a write of what the head says."""
    if head.operation == Operation.DELETE or draft.operation != Operation.WRITE:
        return False
    said = (head.kind, head.trust, head.sources, head.valid_from, head.valid_to, head.expires_at)
    asked = (
        draft.kind,
        draft.trust,
        list(draft.sources),
        draft.valid_from,
        draft.valid_to,
        draft.expires_at,
    )
    is_same = bytes(head.text_hash) == draft.text_hash and said == asked
    return is_same and (draft.any_metadata or dict(draft.metadata) == head.metadata)


def check_base(*, key: str, head: Revision | None, base: int | None) -> None:
    """Raises `Conflict` with the head unless `base` is its number; 0 means that the entry must not
    exist.
    """
    number = head.number if head else 0
    deleted = head is not None and head.operation == Operation.DELETE
    if base is None or base == number or (base == 0 and deleted):
        return
    raise Conflict(
        f"{key} is at revision {number}, not {base}. Read it again, apply your change to that "
        f"text, and send base_rev {number}.",
        head={
            "revision": number,
            "author": head.author_name if head else None,
            "why": head.why if head else None,
            "deleted": deleted,
        },
    )


def describe_chunks(revisions: Sequence[UUID]) -> None:
    """Give chunks that live on the metadata of these revisions, the new heads of their entries."""
    with connection.cursor() as cursor:
        cursor.execute(_DESCRIBE, [list(revisions)])


def _is_live(entry: Entry) -> bool:
    return entry.head_number > 0 and not entry.is_deleted


def _advance(space: Space, entry: Entry, revision: Revision, *, chunks: int) -> None:
    """Make the revision the head of its entry and of the space's count."""
    was_live = _is_live(entry)
    if was_live:
        describe_chunks([revision.id])
    entry.head_number = revision.number
    entry.is_deleted = revision.operation == Operation.DELETE
    entry.kind, entry.expires_at = revision.kind, revision.expires_at
    entry.save(update_fields=["head_number", "is_deleted", "kind", "expires_at"])
    Space.objects.filter(id=space.id).update(
        seq=revision.seq,
        entry_count=F("entry_count") + int(not entry.is_deleted) - int(was_live),
        chunk_count=F("chunk_count") + chunks,
    )


def _turn_over(
    scope: Scope, space: Space, entry: Entry, draft: Draft, seq: int
) -> tuple[dict[bytes, int], int, int]:
    """The living chunks by hash after the change, and how many were born and died."""
    pieces = {piece.hash: piece for piece in draft.pieces}
    died, newborn = 0, dict[bytes, int]()
    with connection.cursor() as cursor:
        if _is_live(entry):
            cursor.execute(_LET_DIE, [seq, entry.id, list(pieces)])
            died = cursor.rowcount
        if pieces:
            _keep_blobs(cursor, scope, pieces)
            newborn = _give_birth(cursor, scope, space, entry, draft, seq, pieces)
        living = newborn
        if len(newborn) < len(pieces):
            cursor.execute(_LIVING, [entry.id])
            living = {bytes(key): chunk for key, chunk in cursor.fetchall()}
    return living, len(newborn), died


def _give_birth(
    cursor: Any,
    scope: Scope,
    space: Space,
    entry: Entry,
    draft: Draft,
    seq: int,
    pieces: Mapping[bytes, Piece],
) -> dict[bytes, int]:
    """The chunks that were not there, by hash."""
    fresh: dict[str, Any] = {
        "space": space.id,
        "entry": entry.id,
        "seq": seq,
        "kind": space.kind,
        "hashes": list(pieces),
        "organisation": scope.organisation_id,
        "model": draft.model_id,
        "metadata": Jsonb(dict(draft.metadata)),
    }
    cursor.execute(_GIVE_BIRTH, fresh)
    born = [(bytes(key), chunk, is_embedded) for key, chunk, is_embedded in cursor.fetchall()]
    if any(pieces[key].indexed and not is_embedded for key, _, is_embedded in born):
        raise _erased_meanwhile(draft.key)
    return {key: chunk for key, chunk, _ in born}


def _erased_meanwhile(key: str) -> Conflict:
    return Conflict(
        f"A text that {key} shares was erased elsewhere while {key} was on its way. Write it again."
    )


def _keep_blobs(cursor: Any, scope: Scope, pieces: Mapping[bytes, Piece]) -> None:
    """Store what is new and hold all of it, so that no erasure takes a text away meanwhile."""
    hashes = list(pieces)
    headings = [piece.heading for piece in pieces.values()]
    texts = [piece.text for piece in pieces.values()]
    contexts = [piece.context for piece in pieces.values()]
    held = -1
    while held < len(hashes):
        cursor.execute(_KEEP_BLOBS, [scope.organisation_id, hashes, headings, texts, contexts])
        if cursor.rowcount == len(hashes):
            return
        cursor.execute(_HOLD_BLOBS, [scope.organisation_id, hashes])
        held = cursor.rowcount
