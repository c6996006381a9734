"""What may be kept: text that PostgreSQL can hold, a reason for it, and times in their order."""

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from apps.context.revising import Draft
from apps.context.types import EntryKind, Operation
from octavo.kernel.errors import InvalidInput

KEY_LENGTH = 500
TRUST = ("trusted", "untrusted")
BLOCK_LIMIT = 2000  # characters of a memory block that says no other
MOST_OF_BLOCK = 8000
_BLOCK_KEY = re.compile(r"core/([a-z0-9][a-z0-9_.-]{0,62}/)?[a-z0-9][a-z0-9_-]{0,62}")
_DEPTH = 20
MOST_SOURCES = 100


def check(draft: Draft, *, content: str) -> None:
    """Raises `InvalidInput` with the path of each field that cannot be kept."""
    errors = _wrong_key(draft.key) + _wrong_text("/why", draft.why) + _wrong_text("/key", draft.key)
    if not draft.why.strip():
        errors.append(_NO_WHY)
    if draft.trust not in TRUST:
        errors.append({"path": "/trust", "detail": "'trusted' or 'untrusted'"})
    errors += _wrong_text("/content", content)
    errors += wrong_json("/metadata", draft.metadata)
    errors += wrong_json("/sources", list(draft.sources))
    if len(draft.sources) > MOST_SOURCES:
        errors.append({"path": "/sources", "detail": f"{MOST_SOURCES} at most"})
    errors += _wrong_block(draft, content)
    if draft.valid_from and draft.valid_to and draft.valid_from >= draft.valid_to:
        errors.append({"path": "/valid_to", "detail": "must be later than valid_from"})
    _refuse(errors)


def check_why(why: str) -> None:
    """Raises `InvalidInput` unless a reason is given that can be kept."""
    _refuse([*_wrong_text("/why", why), *([] if why.strip() else [_NO_WHY])])


def is_text(text: str) -> bool:
    """Whether the database can hold it."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return "\x00" not in text


def wrong_json(path: str, value: Any, depth: int = 0) -> list[dict[str, str]]:
    """What in a JSON value the database cannot hold, each with its path."""
    if depth > _DEPTH:
        return [{"path": path, "detail": f"nested more than {_DEPTH} deep"}]
    if isinstance(value, str):
        return _wrong_text(path, value)
    if isinstance(value, float) and not math.isfinite(value):
        return [{"path": path, "detail": "not a finite number"}]
    errors: list[dict[str, str]] = []
    if isinstance(value, Mapping):
        for name, inner in value.items():
            errors += _wrong_text(path, str(name)) + wrong_json(f"{path}/{name}", inner, depth + 1)
    elif isinstance(value, Sequence):
        for place, inner in enumerate(value):
            errors += wrong_json(f"{path}/{place}", inner, depth + 1)
    return errors


_NO_WHY = {"path": "/why", "detail": "say why, in a few words: it stays in the history"}


def _wrong_key(key: str) -> list[dict[str, str]]:
    if key.strip() and len(key) <= KEY_LENGTH and key.isprintable():
        return []
    return [{"path": "/key", "detail": f"1 to {KEY_LENGTH} printable characters"}]


def _wrong_block(draft: Draft, content: str) -> list[dict[str, str]]:
    if draft.kind != EntryKind.BLOCK or draft.operation == Operation.DELETE:
        return []
    limit = draft.metadata.get("limit", BLOCK_LIMIT)
    if not isinstance(limit, int) or not 1 <= limit <= MOST_OF_BLOCK:
        return [{"path": "/metadata/limit", "detail": f"a number from 1 to {MOST_OF_BLOCK}"}]
    if not _BLOCK_KEY.fullmatch(draft.key):
        detail = "core/<name> or core/<agent>/<name>, lower-case, for an entry of kind block"
        return [{"path": "/key", "detail": detail}]
    if len(content) > limit:
        detail = f"{len(content)} characters; the block holds {limit}. Shorten what it says first"
        return [{"path": "/content", "detail": detail}]
    return []


def _wrong_text(path: str, text: str) -> list[dict[str, str]]:
    if "\x00" in text:
        return [{"path": path, "detail": "holds a NUL character, so it is not text"}]
    if not is_text(text):
        return [{"path": path, "detail": "holds half a surrogate pair, not a character"}]
    return []


def _refuse(errors: Sequence[Mapping[str, str]]) -> None:
    if errors:
        detail = "; ".join(f"{error['path'][1:]}: {error['detail']}" for error in errors)
        raise InvalidInput(f"The entry cannot be written. {detail}.", errors=errors)
