"""Writes and deletes entries: append-only, with a reason, and never over a change its author has
not seen.
"""

import hashlib
from collections.abc import Mapping
from typing import Any

from django.db import transaction

from apps.context import (
    access,
    chunking,
    embeddings,
    erasure,
    lexicon,
    reembedding,
    revising,
    views,
)
from apps.context.chunking import Piece
from apps.context.models import Entry, Revision, Space
from apps.context.types import EntryKind, SpaceKind, WriteResult
from octavo.kernel import audit
from octavo.kernel.errors import InvalidInput, NotFound
from octavo.kernel.scope import Scope

_KEY_LENGTH = 500
TRUST = ("trusted", "untrusted")


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
    step: str = "",
    source_hash: bytes | None = None,
) -> WriteResult:
    """Make `content` the text of `key`. The same text, metadata and trust make no revision.

    New chunks are embedded before the transaction begins. Raises `Conflict` with the head if
    `base_rev` is not it (0: the entry must be new), `Unavailable` if no embedding model answers;
    then nothing is written. A step of a run that is tried again finds its revision and makes no
    second one.
    """
    place = access.writable_space(scope=scope, name=space, step=step)
    _check(key=key, content=content, why=why, trust=trust)
    text_hash = hashlib.sha256(content.encode()).digest()
    entry = Entry.objects.filter(space=place, key=key).first()
    if entry and (done := revising.find_of_step(scope=scope, entry=entry, step=step)):
        return _unchanged(entry, done, changed=True)
    revising.check_base(entry=entry, base=base_rev)
    if entry and (head := _same(entry, text_hash, kind, metadata, trust)):
        return _unchanged(entry, head)
    pieces = chunking.split(content, syntax=chunking.syntax_of(key, SpaceKind(place.kind)))
    texts = {piece.hash: piece.indexed for piece in pieces if piece.indexed}
    embedded = embeddings.ensure(scope=scope, texts=texts, step=step) if texts else None
    draft = revising.Draft(
        key=key,
        operation="write",
        why=why.strip(),
        base=base_rev,
        kind=kind,
        pieces=pieces,
        text_hash=text_hash,
        source_hash=source_hash,
        model_id=embedded.model_id if embedded else None,
        metadata=metadata or {},
        trust=trust,
        step=step,
    )
    revised = _commit(scope, place, draft)
    return _result(revised, pieces, len(embedded.fresh) if embedded else 0)


def delete_entry(*, scope: Scope, space: str, key: str, why: str, step: str = "") -> WriteResult:
    """Take `key` out of the space's present; its revisions stay. Raises `NotFound` if it is not
    there.
    """
    place = access.writable_space(scope=scope, name=space, step=step)
    _check(key=key, content="", why=why, trust=TRUST[0])
    entry = Entry.objects.filter(space=place, key=key, is_deleted=False).first()
    head = revising.head_of(entry) if entry else None
    if entry is None or head is None:
        raise _no_entry(space, key)
    draft = revising.Draft(
        key=key,
        operation="delete",
        why=why.strip(),
        base=entry.head_number,
        kind=EntryKind(entry.kind),
        metadata=head.metadata,
        trust=head.trust,
        step=step,
    )
    return _result(_commit(scope, place, draft), (), 0)


def erase_entry(*, scope: Scope, space: str, key: str, why: str) -> int:
    """Remove every revision of `key` for good, with the texts and vectors that nothing else uses.

    Returns how many texts were removed. What remains: the audit entry, and which runs had read it.
    """
    place = access.writable_space(scope=scope, name=space)
    _check(key=key, content="", why=why, trust=TRUST[0])
    with transaction.atomic():
        locked = revising.lock_space(place.id)
        entry = Entry.objects.filter(space=locked, key=key).first()
        if entry is None:
            raise _no_entry(space, key)
        chunks, texts = erasure.erase(scope=scope, space=locked, entry=entry)
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


def _check(*, key: str, content: str, why: str, trust: str) -> None:
    errors = []
    if not key.strip() or len(key) > _KEY_LENGTH or not key.isprintable():
        errors.append({"path": "/key", "detail": f"1 to {_KEY_LENGTH} printable characters"})
    if not why.strip():
        errors.append(
            {"path": "/why", "detail": "say why, in a few words: it stays in the history"}
        )
    if trust not in TRUST:
        errors.append({"path": "/trust", "detail": "'trusted' or 'untrusted'"})
    if "\x00" in content:
        errors.append({"path": "/content", "detail": "holds a NUL character, so it is not text"})
    if not _encodable(content):
        errors.append(
            {"path": "/content", "detail": "holds half a surrogate pair, not a character"}
        )
    if errors:
        detail = "; ".join(f"{error['path'][1:]}: {error['detail']}" for error in errors)
        raise InvalidInput(f"The entry cannot be written. {detail}.", errors=errors)


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _same(
    entry: Entry,
    text_hash: bytes,
    kind: EntryKind,
    metadata: Mapping[str, Any] | None,
    trust: str,
) -> Revision | None:
    """The head if it says the same already. Metadata that is not given is not compared."""
    head = revising.head_of(entry)
    if head is None or entry.is_deleted or bytes(head.text_hash) != text_hash:
        return None
    same_metadata = metadata is None or dict(metadata) == head.metadata
    return head if same_metadata and head.trust == trust and entry.kind == kind else None


def _commit(scope: Scope, place: Space, draft: revising.Draft) -> revising.Revised:
    with transaction.atomic():
        revised = revising.revise(scope=scope, space=revising.lock_space(place.id), draft=draft)
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


def _result(revised: revising.Revised, pieces: tuple[Piece, ...], embedded: int) -> WriteResult:
    return WriteResult(
        entry_id=revised.entry.id,
        revision=views.revision_view(revised.revision),
        chunks=len(pieces),
        embedded=embedded,
        reused=len({piece.hash for piece in pieces}) - embedded,
        changed=True,
    )


def _unchanged(entry: Entry, head: Revision, *, changed: bool = False) -> WriteResult:
    return WriteResult(
        entry_id=entry.id,
        revision=views.revision_view(head),
        chunks=len(head.chunks),
        embedded=0,
        reused=len(set(head.chunks)),
        changed=changed,
    )


def _no_entry(space: str, key: str) -> NotFound:
    return NotFound(f"There is no entry {key!r} in the space {space!r}. List the space's entries.")
