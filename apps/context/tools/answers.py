"""How a tool of the store speaks: its schema, the place of what it shows, how far to trust it."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from apps.context.types import Citation, RevisionView, SearchHit
from apps.tools.types import Trust
from octavo.kernel.clock import rfc3339

SPACE: Final = {"type": "string", "minLength": 1, "description": "Name of the space."}
SPACES: Final = {"type": "array", "items": SPACE, "maxItems": 50}
KEY: Final = {
    "type": "string",
    "minLength": 1,
    "description": "Key of the entry, such as docs/start.md.",
}
WHY: Final = {"type": "string", "minLength": 1, "maxLength": 500}
TIME: Final = {"type": "string", "description": "RFC 3339, such as 2026-01-31T12:00:00Z."}
NUMBER: Final = {"type": "integer", "minimum": 0, "maximum": 2**31 - 1}
FILTER: Final = {
    "type": "object",
    "description": (
        'Conditions such as {"topic": {"eq": "refunds"}, "kind": {"in": ["fact", "decision"]}}; '
        "`and`, `or` and `not` nest."
    ),
}


def schema(required: tuple[str, ...], **properties: Mapping[str, Any]) -> Mapping[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(required),
        "additionalProperties": False,
    }


def place_of(citation: Citation) -> Mapping[str, Any]:
    """A citation as the journal keeps it."""
    return {
        "space": citation.space,
        "key": citation.key,
        "revision": citation.revision,
        "chunk": citation.chunk,
        "start": citation.start,
        "end": citation.end,
    }


def cite(citation: Citation) -> str:
    """A citation as a model reads it."""
    where = f"{citation.space}/{citation.key}, revision {citation.revision}"
    return f"{where}, characters {citation.start}-{citation.end}"


def result(hit: SearchHit) -> Mapping[str, Any]:
    return {
        **place_of(hit.citation),
        "text": hit.text,
        "score": round(hit.score, 4),
        "trust": hit.trust,
    }


def revision_line(revision: RevisionView) -> str:
    when = rfc3339(revision.created_at)
    by = f"{revision.operation} by {revision.author}"
    return f"revision {revision.number}, {when}, {by}: {revision.why}"


def trust_of(labels: Iterable[str]) -> Trust:
    """What rests on anything untrusted is untrusted."""
    return Trust.UNTRUSTED if "untrusted" in set(labels) else Trust.TRUSTED
