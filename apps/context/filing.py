"""Files on their way into a space: parsed one by one, embedded together, written one by one while
the next ones are embedded.

Whatever is wrong with a file becomes its report; only a missing right or model stops the rest.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import PurePath

from apps.context import access, chunking, embeddings, lineage, parsing
from apps.context.chunking import Piece
from apps.context.embeddings import Embedded
from apps.context.models import Revision, Space
from apps.context.parsing import Parsed
from apps.context.services import writing
from apps.context.types import FileReport, FileStatus, SpaceKind
from octavo.kernel import io
from octavo.kernel.errors import OctavoError
from octavo.kernel.scope import Scope

_GROUP_FILES = 32
_GROUP_BYTES = 2**21


@dataclass(frozen=True, slots=True, kw_only=True)
class Incoming:
    """`data` of the file that is to become the entry `key`; or the `problem` that kept it away."""

    path: PurePath
    key: str
    data: bytes = b""
    problem: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Draft:
    """A file with its report, or with a text to write."""

    incoming: Incoming
    outcome: FileReport | Parsed
    pieces: tuple[Piece, ...] = ()
    is_new: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class _Group:
    """Files whose texts are being embedded."""

    drafts: Sequence[_Draft]
    embedded: Future[Embedded | None]


def file_all(
    *, scope: Scope, space: Space, files: Iterable[Incoming]
) -> Iterator[tuple[Incoming, FileReport]]:
    """Each file with its report, in order, as soon as it is written. Reads a few files ahead, which
    are embedded while those before them are written. Whether the caller may write is asked again
    every few files.

    Raises `Unavailable` if no embedding model answers; what was reported by then is written.
    """
    groups = (_embedding(scope, space, group) for group in _groups(files))
    under_way = next(groups, None)
    while under_way is not None:
        drafts, embedded = under_way.drafts, under_way.embedded.result()
        under_way = next(groups, None)
        refusal = _refusal(scope, space)
        for draft in drafts:
            yield draft.incoming, _report(scope, space, draft, embedded, refusal)


def failed(path: PurePath, detail: str) -> FileReport:
    return FileReport(path=path, status=FileStatus.FAILED, detail=detail)


def _groups(files: Iterable[Incoming]) -> Iterator[list[Incoming]]:
    group: list[Incoming] = []
    size = 0
    for incoming in files:
        group.append(incoming)
        size += len(incoming.data)
        if len(group) == _GROUP_FILES or size >= _GROUP_BYTES:
            yield group
            group, size = [], 0
    if group:
        yield group


def _embedding(scope: Scope, space: Space, group: Sequence[Incoming]) -> _Group:
    heads = lineage.heads_at(space, [incoming.key for incoming in group])
    drafts = [_draft(space, incoming, heads.get(incoming.key)) for incoming in group]
    texts = {p.hash: p.indexed for draft in drafts for p in draft.pieces if p.indexed}
    return _Group(drafts=drafts, embedded=io.submit(_embed, scope, texts))


def _embed(scope: Scope, texts: Mapping[bytes, str]) -> Embedded | None:
    return embeddings.ensure(scope=scope, texts=texts) if texts else None


def _draft(space: Space, incoming: Incoming, head: Revision | None) -> _Draft:
    path, key = incoming.path, incoming.key
    if incoming.problem:
        return _Draft(incoming=incoming, outcome=failed(path, incoming.problem))
    if head and head.source_hash and bytes(head.source_hash) == parsing.hash_of(incoming.data):
        report = FileReport(path=path, status=FileStatus.UNCHANGED, chunks=len(head.chunks))
        return _Draft(incoming=incoming, outcome=report)
    try:
        parsed = parsing.parse(name=key, data=incoming.data)
    except OctavoError as error:
        return _Draft(incoming=incoming, outcome=failed(path, str(error)))
    if not parsed.text.strip():
        report = FileReport(path=path, status=FileStatus.SKIPPED, detail="empty")
        return _Draft(incoming=incoming, outcome=report)
    pieces = chunking.split_entry(parsed.text, key=key, kind=SpaceKind(space.kind))
    return _Draft(incoming=incoming, outcome=parsed, pieces=pieces, is_new=head is None)


def _refusal(scope: Scope, space: Space) -> str:
    """Why the caller may not write now; empty if it may."""
    try:
        access.writable_space(scope=scope, name=space.name)
    except OctavoError as error:
        return str(error)
    return ""


def _report(
    scope: Scope, space: Space, draft: _Draft, embedded: Embedded | None, refusal: str
) -> FileReport:
    if isinstance(draft.outcome, FileReport):
        return draft.outcome
    if refusal:
        return failed(draft.incoming.path, refusal)
    try:
        result = writing.write_file(
            scope=scope,
            place=space,
            key=draft.incoming.key,
            parsed=draft.outcome,
            pieces=draft.pieces,
            embedded=embedded,
            source_hash=parsing.hash_of(draft.incoming.data),
        )
    except OctavoError as error:
        return failed(draft.incoming.path, str(error))
    status = FileStatus.ADDED if draft.is_new else FileStatus.UPDATED
    return FileReport(
        path=draft.incoming.path,
        status=status if result.changed else FileStatus.UNCHANGED,
        chunks=result.chunks,
        embedded=result.embedded,
    )
