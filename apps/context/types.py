"""Spaces, entries, revisions, search results: every piece of text can name where it came from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from pathlib import PurePath
from typing import Any
from uuid import UUID

from octavo.kernel.errors import OctavoError


class SpaceKind(StrEnum):
    TEXT = "text"
    CODE = "code"
    DIALOGUE = "dialogue"


class EntryKind(StrEnum):
    DOCUMENT = "document"
    MEMORY = "memory"
    FACT = "fact"
    DECISION = "decision"
    EPISODE = "episode"
    BLOCK = "block"


class SearchMode(StrEnum):
    HYBRID = "hybrid"
    DENSE = "dense"
    LEXICAL = "lexical"
    EXACT = "exact"


class Operation(StrEnum):
    """How a revision came about."""

    WRITE = "write"
    DELETE = "delete"
    ROLLBACK = "rollback"
    MERGE = "merge"


Moment = int | datetime
"""A sequence number of a space, or a time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SpaceView:
    """`seq` counts the transactions that changed the space. A branch names its `parent` and the
    parent's sequence number at which it began; a branch that was merged takes no more writes.
    """

    id: UUID
    name: str
    kind: SpaceKind
    seq: int
    entries: int
    chunks: int
    created_at: datetime
    parent: str | None = None
    base_seq: int | None = None
    merged_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RevisionView:
    """`run_id` and `step` say where in a run it was written. `valid_from` to `valid_to` is when its
    statement holds in the world; `restores` is the revision that a rollback brought back.
    """

    id: UUID
    number: int
    seq: int
    author: str
    author_kind: str
    author_id: str
    run_id: UUID | None
    step: str
    why: str
    operation: Operation
    restores: int | None
    sources: Sequence[Mapping[str, Any]]
    valid_from: datetime | None
    valid_to: datetime | None
    expires_at: datetime | None
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class SpaceChange:
    """One transaction that changed a space: `revisions` came of it. `revision` of `key` stands for
    them: the first one by key, a deletion only if all are.
    """

    key: str
    revision: RevisionView
    revisions: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """A revision with its place, as those who react to it are told."""

    project_id: UUID
    space: str
    key: str
    trust: str
    revision: RevisionView


@dataclass(frozen=True, slots=True, kw_only=True)
class EntryView:
    """`text` is the whole text of the revision asked for."""

    id: UUID
    space: str
    key: str
    kind: EntryKind
    revision: RevisionView
    metadata: Mapping[str, Any]
    trust: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EntrySummary:
    """An entry in a list: all but its text, which is `length` characters long."""

    id: UUID
    space: str
    key: str
    kind: EntryKind
    revision: RevisionView
    metadata: Mapping[str, Any]
    trust: str
    length: int


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteResult:
    """`embedded` chunks were new, `reused` were known by their hash; `changed` is False when the
    text was the same.
    """

    entry_id: UUID
    revision: RevisionView
    chunks: int
    embedded: int
    reused: int
    changed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Citation:
    """Characters `start` to `end` of the text of `revision` of `key` in `space`."""

    space: str
    key: str
    revision: int
    chunk: int
    start: int
    end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchHit:
    """`score` is in 0…1, comparable within one search only. `legs` says what each way of searching
    found: `dense` the cosine, `lexical` the share of the best passage's words, `rerank` the
    model's own.
    """

    text: str
    score: float
    citation: Citation
    entry_id: UUID
    chunk_id: int
    trust: str
    metadata: Mapping[str, Any]
    legs: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchResult:
    """`as_of` is the sequence number at which each space was searched. `degraded` names what could
    not be used: `dense` while no embedding model answers, `rerank` while no reranker does.
    """

    hits: tuple[SearchHit, ...]
    as_of: Mapping[str, int]
    degraded: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Quote:
    """One sentence, verbatim, with its place in the source and how well it answers (0…1).

    `trust` is that of the revision it stands in.
    """

    text: str
    score: float
    citation: Citation
    trust: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """Line `line`, counted from 1, of a revision."""

    space: str
    key: str
    revision: int
    line: int
    text: str
    trust: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """A run was shown `revision`: a chunk at place `rank` of a search, or all of it (0 and 0)."""

    id: int
    run_id: UUID
    step: str
    revision: int
    chunk_id: int
    rank: int
    score: float
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryBlock:
    """A named text that is always in the prompt: of all who read the space, or of one `agent`.

    `text` has `limit` characters at most; `about` says what belongs into it.
    """

    space: str
    key: str
    name: str
    agent: str
    text: str
    limit: int
    about: str
    revision: int
    trust: str


class FlagKind(StrEnum):
    """What is doubtful about an entry."""

    OUTDATED = "outdated"
    SOURCE_CHANGED = "source_changed"
    CONTRADICTION = "contradiction"


@dataclass(frozen=True, slots=True, kw_only=True)
class Flag:
    """`revision` of `key` is in doubt because of `other` (space, key, revision), or of time."""

    kind: FlagKind
    key: str
    revision: int
    detail: str
    other: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Tidying:
    """A branch in which notes that say the same are one, to be merged or closed by a person.

    `branch` None: there is nothing to do.
    """

    space: str
    branch: str | None
    changes: tuple["Change", ...] = ()


class DropReason(StrEnum):
    """Why a passage is not in a pack."""

    DUPLICATE = "duplicate"
    ENTRY_CAP = "entry_cap"
    BUDGET = "budget"
    WEAK = "weak"


@dataclass(frozen=True, slots=True, kw_only=True)
class Passage:
    """`[number]` in the text of a pack is this place."""

    number: int
    citation: Citation
    trust: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Dropped:
    citation: Citation
    tokens: int
    reason: DropReason


@dataclass(frozen=True, slots=True, kw_only=True)
class Packed:
    """`tokens` is counted on the high side."""

    text: str
    citations: tuple[Passage, ...]
    tokens: int
    dropped: tuple[Dropped, ...] = ()
    degraded: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class DiffLine:
    """`op` is `same`, `removed` or `added`; line numbers begin at 1."""

    op: str
    old: int | None
    new: int | None
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Hunk:
    """A change and what surrounds it: lines from `old_start` on became lines from `new_start`."""

    old_start: int
    old_lines: int
    new_start: int
    new_lines: int
    lines: tuple[DiffLine, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Diff:
    """What changed between two revisions of a key; `before` None: it did not exist."""

    space: str
    key: str
    before: RevisionView | None
    after: RevisionView
    added: int
    removed: int
    hunks: tuple[Hunk, ...]
    unified: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotView:
    id: int
    name: str
    seq: int
    author: str
    created_at: datetime


class ChangeKind(StrEnum):
    """What a rollback or a merge does to a key."""

    ADD = "add"
    REVISE = "revise"
    REMOVE = "remove"


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """`before` and `after` are revision numbers; None: the key is not there."""

    key: str
    kind: ChangeKind
    before: int | None
    after: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Changed:
    """`seq` is the space's sequence number now: undo it by a rollback to the one before.

    `preview`: nothing happened, this is what would.
    """

    space: str
    seq: int
    to: int
    changes: tuple[Change, ...]
    preview: bool = False


class Side(StrEnum):
    OURS = "ours"
    THEIRS = "theirs"


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolution:
    """Whose text of a key stands after a merge (`theirs` is the branch's), or another text."""

    side: Side | None = None
    content: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MergeConflict:
    """Both sides changed `key` since the branch began; None: not there."""

    key: str
    base: str | None
    ours: str | None
    theirs: str | None


class FileStatus(StrEnum):
    ADDED = "added"
    UPDATED = "updated"
    UNCHANGED = "unchanged"
    SKIPPED = "skipped"
    UNPACKED = "unpacked"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class FileReport:
    """What became of one file; `detail` says why it was skipped or failed, and what to do."""

    path: PurePath
    status: FileStatus
    detail: str = ""
    chunks: int = 0
    embedded: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class IngestJobView:
    id: UUID
    space: str
    status: str
    total: int
    done: int
    reports: tuple[FileReport, ...] = field(default=())


class UnreadableFile(OctavoError):
    """The file is not text, code, Markdown or a PDF that can be read; the message says which and
    what to do.
    """

    status, code, title = 422, "unreadable-file", "Unreadable file"
