"""Writes and deletes entries: append-only, with a reason, and never over a change its author has
not seen.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models.functions import Now

from apps.accounts import selectors as accounts
from apps.context import (
    access,
    chunking,
    embeddings,
    erasure,
    lexicon,
    lineage,
    reembedding,
    requirements,
    revising,
    turns,
    views,
)
from apps.context.chunking import Piece
from apps.context.embeddings import Embedded
from apps.context.models import Entry, Revision, Space
from apps.context.parsing import Parsed
from apps.context.types import EntryKind, Operation, SpaceKind, WriteResult
from octavo.kernel import audit
from octavo.kernel.errors import Conflict, NotFound
from octavo.kernel.scope import Scope

_FORGOTTEN = 500


def write_entry(
    *,
    scope: Scope,
    space: str,
    key: str,
    content: str,
    why: str,
    kind: EntryKind = EntryKind.DOCUMENT,
    base_rev: int | None = None,
    metadata: Mapping[str, Any] | None = None,
    trust: str = "trusted",
    sources: Sequence[Mapping[str, Any]] = (),
    valid_from: datetime | None = None,
    valid_to: datetime | None = None,
    expires_at: datetime | None = None,
    step: str = "",
    approved: bool = False,
) -> WriteResult:
    """Make `content` the text of `key`. The same text with the same particulars makes no revision.

    New chunks are embedded before the transaction begins. Raises `Conflict` with the head if
    `base_rev` is not it (0: the entry must be new), `Unavailable` if no embedding model answers;
    then nothing is written. A step of a run that is tried again finds its revision and makes no
    second one.
    """
    place = access.writable_space(scope=scope, name=space, step=step, approved=approved)
    draft = revising.Draft(
        key=key,
        operation=Operation.WRITE,
        why=why.strip(),
        base=base_rev,
        kind=kind,
        text_hash=revising.hash_of(content),
        metadata=metadata or {},
        any_metadata=metadata is None,
        trust=trust,
        sources=sources,
        valid_from=valid_from,
        valid_to=valid_to,
        expires_at=expires_at,
        step=step,
    )
    requirements.check(draft, content=content)
    head = lineage.revision_at(lineage.layers_of(place), key)
    if done := revising.find_of_step(scope=scope, space=place, key=key, step=step):
        return _unchanged(done, changed=True)
    revising.check_base(key=key, head=head, base=base_rev)
    if head and revising.says(head, draft):
        return _unchanged(head)
    pieces = chunking.split_entry(content, key=key, kind=SpaceKind(place.kind))
    texts = {piece.hash: piece.indexed for piece in pieces if piece.indexed}
    embedded = embeddings.ensure(scope=scope, texts=texts, step=step) if texts else None
    model_id = embedded.model_id if embedded else None
    revised = _commit(scope, place, replace(draft, pieces=pieces, model_id=model_id))
    return _result(revised, pieces, embedded)


def write_file(
    *,
    scope: Scope,
    place: Space,
    key: str,
    parsed: Parsed,
    pieces: Sequence[Piece],
    embedded: Embedded | None,
    source_hash: bytes,
) -> WriteResult:
    """Make what was read of a file the text of `key`; it is cut into `pieces` and embedded already,
    and the caller may write to `place`.
    """
    draft = revising.Draft(
        key=key,
        operation=Operation.WRITE,
        why="ingested from a file",
        pieces=pieces,
        text_hash=revising.hash_of(parsed.text),
        source_hash=source_hash,
        model_id=embedded.model_id if embedded else None,
        metadata=parsed.metadata,
        trust="trusted",
        step="",
    )
    requirements.check(draft, content=parsed.text)
    return _result(_commit(scope, place, draft), pieces, embedded)


def delete_entry(
    *, scope: Scope, space: str, key: str, why: str, step: str = "", approved: bool = False
) -> WriteResult:
    """Take `key` out of the space's present; its revisions stay. Raises `NotFound` if it is not
    there.
    """
    place = access.writable_space(scope=scope, name=space, step=step, approved=approved)
    head = lineage.head_at(place, key)
    if head is None:
        raise _no_entry(space, key)
    draft = revising.Draft(
        key=key,
        operation=Operation.DELETE,
        why=why.strip(),
        base=head.number,
        kind=EntryKind(head.kind),
        metadata=head.metadata,
        trust=head.trust,
        step=step,
    )
    requirements.check(draft, content="")
    return _result(_commit(scope, place, draft), (), None)


def forget_expired() -> int:
    """Delete entries whose `expires_at` has passed, as Octavo itself; how many.

    Safe in any number of processes at once; at most a few hundred a call.
    """
    due = Entry.objects.filter(expires_at__lte=Now(), is_deleted=False)
    forgotten = 0
    for entry in due.select_related("space").order_by("expires_at")[:_FORGOTTEN]:
        scope = accounts.system_scope(project_id=entry.space.project_id)
        with suppress(NotFound, Conflict):  # somebody else was faster, or has written since
            delete_entry(
                scope=scope, space=entry.space.name, key=entry.key, why="its time had passed"
            )
            forgotten += 1
    return forgotten


def erase_entry(*, scope: Scope, space: str, key: str, why: str) -> int:
    """Remove every revision of `key` for good, here and in the branches of the space, with the
    texts and vectors that nothing else uses.

    Returns how many texts were removed. What remains: the audit entry, and which runs had read it.
    """
    place = access.writable_space(scope=scope, name=space)
    requirements.check_why(why)
    with transaction.atomic():
        locked = revising.lock_space(place.id)
        entry = Entry.objects.filter(space=locked, key=key).first()
        if entry is None:
            raise _no_entry(space, key)
        branches = erasure.lock_branches(locked)
        chunks, texts = erasure.erase(scope=scope, space=locked, entry=entry)
        texts += erasure.erase_in_branches(scope=scope, branches=branches, key=key)
        for layer in (locked, *branches):
            turns.forget(space=layer, key=key)
        audit.record(
            scope=scope,
            action="context.erase",
            target=f"{space}/{key}",
            payload={"why": why, "texts": texts},
        )
    lexicon.note_change(space_id=place.id, chunks=chunks)
    return texts


def reembed_space(*, scope: Scope, space: str) -> int:
    """Give every live chunk a vector of the model that the route `embedding` now calls first.

    Until then a search finds those chunks by their words alone. Returns how many were renewed.
    """
    place = access.writable_space(scope=scope, name=space)
    return reembedding.renew(scope=scope, space=place)


def _commit(scope: Scope, place: Space, draft: revising.Draft) -> revising.Revised:
    with transaction.atomic():
        revised = revising.revise(scope=scope, space=revising.lock_space(place.id), draft=draft)
        if not revised.is_new:
            return revised
        audit.record(
            scope=scope,
            action=f"context.{draft.operation}",
            target=f"{place.name}/{draft.key}",
            payload={
                "revision": revised.revision.number,
                "seq": revised.revision.seq,
                "why": draft.why,
                "sha256": draft.text_hash.hex(),
            },
        )
    lexicon.note_change(space_id=place.id, chunks=revised.born + revised.died)
    return revised


def _result(
    revised: revising.Revised, pieces: Sequence[Piece], embedded: Embedded | None
) -> WriteResult:
    hashes = {piece.hash for piece in pieces}
    fresh = len(hashes & embedded.fresh) if embedded else 0
    return WriteResult(
        entry_id=revised.entry.id,
        revision=views.revision_view(revised.revision),
        chunks=len(pieces),
        embedded=fresh,
        reused=len(hashes) - fresh,
        changed=revised.is_new,
    )


def _unchanged(head: Revision, *, changed: bool = False) -> WriteResult:
    return WriteResult(
        entry_id=head.entry_id,
        revision=views.revision_view(head),
        chunks=len(head.chunks),
        embedded=0,
        reused=len(set(head.chunks)),
        changed=changed,
    )


def _no_entry(space: str, key: str) -> NotFound:
    return NotFound(f"There is no entry {key!r} in the space {space!r}. List the space's entries.")
