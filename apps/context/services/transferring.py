"""Takes a space out as plain files and brings it in elsewhere, with its whole history."""

import hashlib
import tempfile
from collections.abc import Iterator
from datetime import datetime
from typing import IO, Any
from uuid import UUID

from django.db import connection, transaction
from psycopg.types.json import Jsonb

from apps.context import access, archive, embeddings, history, lexicon, lineage, turns, views
from apps.context.chunking import Piece
from apps.context.models import Chunk, Entry, Revision, Snapshot, Space
from apps.context.services import spaces
from apps.context.types import SpaceKind, SpaceView
from octavo.kernel import audit
from octavo.kernel.clock import rfc3339
from octavo.kernel.errors import Conflict, InvalidInput
from octavo.kernel.scope import Scope

_PLAIN = ("number", "seq", "operation", "restores", "kind", "author_kind", "author_name", "step")
_TIMES = ("valid_from", "valid_to", "expires_at", "created_at")

_TEXTS = """
SELECT DISTINCT b.hash, b.heading, b.text, b.context FROM chunk AS c
JOIN blob AS b ON b.organisation_id = %(organisation)s AND b.hash = c.hash
WHERE c.space_id = %(space)s ORDER BY b.hash
"""
_KEEP = """
INSERT INTO blob (organisation_id, hash, heading, text, context)
SELECT %s, new.* FROM unnest(%s::bytea[], %s::text[], %s::text[], %s::text[])
  AS new (hash, heading, text, context)
ORDER BY new.hash ON CONFLICT DO NOTHING
"""
_CHUNKS = """
INSERT INTO chunk
  (space_id, entry_id, hash, born, died, model_id, dimensions, emb, bm, terms, metadata)
SELECT %(space)s, n.entry_id, n.hash, n.born, n.died, k.model_id, vector_dims(k.emb), k.emb,
       lex_weights(lex.terms), lex_scoped_terms(%(space)s, lex.terms), n.metadata
FROM unnest(%(entries)s::uuid[], %(hashes)s::bytea[], %(born)s::bigint[], %(died)s::bigint[],
            %(metadata)s::jsonb[]) AS n (entry_id, hash, born, died, metadata)
JOIN blob AS b ON b.organisation_id = %(organisation)s AND b.hash = n.hash
CROSS JOIN LATERAL (
  SELECT lex_passage(%(kind)s, b.heading, b.text, b.context) AS terms) AS lex
LEFT JOIN embedding AS k ON k.organisation_id = %(organisation)s AND k.hash = n.hash
  AND k.model_id = %(model)s
ORDER BY n.born
RETURNING entry_id, hash, born, id
"""


def open_export(*, scope: Scope, space: str) -> IO[bytes]:
    """A temporary file with the archive of `space`, at its beginning; gone when it is closed."""
    file = tempfile.TemporaryFile()  # noqa: SIM115  the caller closes it
    try:
        export_space(scope=scope, space=space, file=file)
    except BaseException:
        file.close()
        raise
    file.seek(0)
    return file


def export_space(*, scope: Scope, space: str, file: IO[bytes]) -> None:
    """Write the archive of `space` (see `archive`) from one snapshot of the database."""
    place = access.readable_space(scope=scope, name=space)
    if place.parent_id is not None:
        raise Conflict(
            f"{space!r} is a branch, which cannot be exported by itself. Merge it and export "
            f"{place.parent.name if place.parent else 'its parent'!r}."
        )
    packer = archive.Packer(file)
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        place = Space.objects.get(id=place.id)
        packer.add_json("space.json", _about(place))
        for key, text in _present(scope, place):
            packer.add(archive.member_of(key), text.encode())
        hashes = dict(Chunk.objects.filter(space=place).values_list("id", "hash"))
        lines = [archive.line_of(_told(v, hashes)) for v in _revisions(place)]
        packer.add("history.jsonl", b"".join(lines))
        packer.add("texts.jsonl", b"".join(_texts(scope, place)))
    packer.close()


def import_space(*, scope: Scope, space: str, file: IO[bytes]) -> SpaceView:
    """Make a new space of an archive. Every passage of its history is embedded, then all is written
    at once or not at all.
    """
    found = archive.read(file)
    kind = SpaceKind(found.space["kind"])
    texts = {}
    for name, text in found.texts.items():
        piece = Piece(text=text["text"], heading=text["heading"], start=0, context=text["context"])
        if piece.hash.hex() != name:
            raise InvalidInput(f"The passage {name} of the archive was changed: its hash differs.")
        texts[piece.hash] = piece
    worded = {key: piece.indexed for key, piece in texts.items() if piece.indexed}
    model_id = embeddings.ensure(scope=scope, texts=worded).model_id if worded else None
    with transaction.atomic():
        made = spaces.create_space(scope=scope, name=space, kind=kind)
        place = Space.objects.select_for_update().get(id=made.id)
        _keep(scope, texts)
        _bring_in(scope, place, found, model_id)
        audit.record(
            scope=scope,
            action="context.import",
            target=space,
            payload={"revisions": len(found.revisions), "seq": place.seq},
        )
    lexicon.note_change(space_id=place.id, chunks=place.chunk_count)
    return views.space_view(place)


def _about(place: Space) -> dict[str, Any]:
    snapshots = place.snapshots.order_by("id")
    return {
        "format": archive.FORMAT,
        "kind": place.kind,
        "seq": place.seq,
        "snapshots": [
            {
                "name": snapshot.name,
                "seq": snapshot.seq,
                "author": snapshot.author_name,
                "created_at": rfc3339(snapshot.created_at),
            }
            for snapshot in snapshots
        ],
    }


def _present(scope: Scope, place: Space) -> Iterator[tuple[str, str]]:
    heads = lineage.list_present(lineage.layers_of(place), limit=2**31)
    for head in sorted(heads, key=lambda v: v.entry.key):
        yield head.entry.key, history.text_of(head, organisation_id=scope.organisation_id)


def _revisions(place: Space) -> Iterator[Revision]:
    found = Revision.objects.filter(space=place).select_related("entry")
    return found.order_by("seq", "entry__key").iterator(chunk_size=500)


def _told(revision: Revision, hashes: dict[int, Any]) -> dict[str, Any]:
    told = {name: getattr(revision, name) for name in _PLAIN}
    times = {name: rfc3339(getattr(revision, name)) for name in _TIMES}
    return (
        told
        | times
        | {
            "key": revision.entry.key,
            "author_id": str(revision.author_id),
            "run": str(revision.run_id) if revision.run_id else None,
            "why": revision.why,
            "metadata": revision.metadata,
            "trust": revision.trust,
            "sources": revision.sources,
            "sha256": bytes(revision.text_hash).hex(),
            "source_sha256": bytes(revision.source_hash).hex() if revision.source_hash else None,
            "passages": [bytes(hashes[chunk]).hex() for chunk in revision.chunks],
            "starts": revision.starts,
        }
    )


def _texts(scope: Scope, place: Space) -> Iterator[bytes]:
    with connection.cursor() as cursor:
        cursor.execute(_TEXTS, {"organisation": scope.organisation_id, "space": place.id})
        for key, heading, text, context in cursor.fetchall():
            line = {"hash": bytes(key).hex(), "heading": heading, "text": text, "context": context}
            yield archive.line_of(line)


def _keep(scope: Scope, texts: dict[bytes, Piece]) -> None:
    pieces = list(texts.values())
    with connection.cursor() as cursor:
        cursor.execute(
            _KEEP,
            [
                scope.organisation_id,
                list(texts),
                [piece.heading for piece in pieces],
                [piece.text for piece in pieces],
                [piece.context for piece in pieces],
            ],
        )


def _bring_in(scope: Scope, place: Space, found: archive.Archive, model_id: UUID | None) -> None:
    entries = {
        key: Entry(space=place, key=key) for key in dict.fromkeys(v["key"] for v in found.revisions)
    }
    Entry.objects.bulk_create(entries.values())
    rows = _lives(found, entries)
    metadata = {entries[told["key"]].id: Jsonb(told["metadata"]) for told in found.revisions}
    values: dict[str, Any] = {
        "space": place.id,
        "kind": place.kind,
        "organisation": scope.organisation_id,
        "model": model_id,
        "entries": [entry for entry, _, _, _ in rows],
        "hashes": [bytes.fromhex(key) for _, key, _, _ in rows],
        "born": [born for _, _, born, _ in rows],
        "died": [died for _, _, _, died in rows],
        "metadata": [metadata[entry] for entry, _, _, _ in rows],
    }
    with connection.cursor() as cursor:
        cursor.execute(_CHUNKS, values)
        known = {
            (entry, bytes(key).hex(), born): row for entry, key, born, row in cursor.fetchall()
        }
    alive: dict[tuple[UUID, str], int] = {}
    made = []
    for told in found.revisions:
        entry = entries[told["key"]]
        for key in told["passages"]:
            new = known.get((entry.id, key, told["seq"]))
            alive[entry.id, key] = alive[entry.id, key] if new is None else new
        made.append(_revision(place, entry, told, found, alive))
    Revision.objects.bulk_create(made, batch_size=500)
    _finish(place, found, list(entries.values()), rows)


def _lives(
    found: archive.Archive, entries: dict[str, Entry]
) -> list[tuple[UUID, str, int, int | None]]:
    """From when to when each passage was said by each entry."""
    rows: list[tuple[UUID, str, int, int | None]] = []
    living: dict[str, dict[str, int]] = {}
    for told in found.revisions:
        before, now = living.setdefault(told["key"], {}), set(told["passages"])
        entry, seq = entries[told["key"]].id, told["seq"]
        gone = [key for key in before if key not in now]
        rows.extend((entry, key, before.pop(key), seq) for key in gone)
        before.update({key: seq for key in now if key not in before})
    for name, left in living.items():
        rows += [(entries[name].id, key, born, None) for key, born in sorted(left.items())]
    return rows


def _revision(
    place: Space,
    entry: Entry,
    told: dict[str, Any],
    found: archive.Archive,
    alive: dict[tuple[UUID, str], int],
) -> Revision:
    """Also makes it the head of its entry."""
    entry.head_number, entry.kind = told["number"], told["kind"]
    entry.is_deleted = told["operation"] == "delete"
    entry.expires_at = _time(told["expires_at"])
    text = "".join(found.texts[key]["text"] for key in told["passages"])
    if not entry.is_deleted and hashlib.sha256(text.encode()).hexdigest() != told["sha256"]:
        raise InvalidInput(
            f"Revision {told['number']} of {told['key']!r} in the archive was changed: its text "
            "does not fit its hash."
        )
    source = told["source_sha256"]
    return Revision(
        space=place,
        entry=entry,
        author_id=UUID(told["author_id"]),
        run_id=UUID(told["run"]) if told["run"] else None,
        why=told["why"],
        metadata=told["metadata"],
        trust=told["trust"],
        sources=told["sources"],
        text_hash=bytes.fromhex(told["sha256"]),
        source_hash=bytes.fromhex(source) if source else None,
        length=len(text),
        chunks=[alive[entry.id, key] for key in told["passages"]],
        starts=told["starts"],
        **{name: told[name] for name in _PLAIN},
        **{name: _time(told[name]) for name in _TIMES},
    )


def _finish(
    place: Space,
    found: archive.Archive,
    entries: list[Entry],
    rows: list[tuple[UUID, str, int, int | None]],
) -> None:
    Entry.objects.bulk_update(
        entries, ["head_number", "kind", "is_deleted", "expires_at"], batch_size=500
    )
    Snapshot.objects.bulk_create(
        Snapshot(
            space=place,
            name=told["name"],
            seq=told["seq"],
            author_name=told["author"],
            created_at=datetime.fromisoformat(told["created_at"]),
        )
        for told in found.space["snapshots"]
    )
    place.seq = found.space["seq"]
    place.entry_count = sum(not entry.is_deleted for entry in entries)
    place.chunk_count = sum(died is None for _, _, _, died in rows)
    place.save(update_fields=["seq", "entry_count", "chunk_count"])
    turns.settle(space=place, keys=[entry.key for entry in entries])


def _time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
