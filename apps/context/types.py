"""Spaces, entries, revisions, search results: every piece of text can name where it came from."""

from collections.abc import Mapping
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


class SearchMode(StrEnum):
    HYBRID = "hybrid"
    DENSE = "dense"
    LEXICAL = "lexical"
    EXACT = "exact"


@dataclass(frozen=True, slots=True, kw_only=True)
class SpaceView:
    """`seq` counts the transactions that changed the space."""

    id: UUID
    name: str
    kind: SpaceKind
    seq: int
    entries: int
    chunks: int
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class RevisionView:
    id: UUID
    number: int
    seq: int
    author: str
    why: str
    operation: str
    created_at: datetime


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
    """`score` is in 0…1, comparable within one search only."""

    text: str
    score: float
    citation: Citation
    entry_id: UUID
    chunk_id: int
    trust: str
    metadata: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchResult:
    """`as_of` is the sequence number of each searched space at the time of the search."""

    hits: tuple[SearchHit, ...]
    as_of: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Quote:
    """One sentence, verbatim, with its place in the source and how well it answers (0…1).

    `trust` is that of the revision it stands in.
    """

    text: str
    score: float
    citation: Citation
    trust: str


class FileStatus(StrEnum):
    ADDED = "added"
    UPDATED = "updated"
    UNCHANGED = "unchanged"
    SKIPPED = "skipped"
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
