"""Consolidation of notes as a proposal: a branch in which what says the same is said once. Nothing
of the space changes until a person merges the branch.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import connection

from apps.context import access, history
from apps.context.models import Revision, Space
from apps.context.requirements import MOST_SOURCES
from apps.context.services import merging, versions, writing
from apps.context.types import EntryKind, Tidying
from octavo.kernel.errors import Conflict, InvalidInput
from octavo.kernel.scope import Scope

ALIKE = 0.93  # cosine from which two notes are taken for the same
_NOTES = 2000  # the newest, each compared with each
_NAME_ROOM = 40
_ALIKE = """
WITH note AS MATERIALIZED (
  SELECT e.key, v.seq, v.id, c.emb, c.model_id, b.text FROM entry AS e
  JOIN revision AS v ON v.entry_id = e.id AND v.number = e.head_number
  JOIN chunk AS c ON c.id = v.chunks[1]
  JOIN blob AS b ON b.organisation_id = %(organisation)s AND b.hash = c.hash
  WHERE e.space_id = %(space)s AND NOT e.is_deleted AND cardinality(v.chunks) = 1
    AND v.kind = ANY(%(kinds)s)
  ORDER BY v.seq DESC LIMIT %(limit)s
)
SELECT new.id, new.text, old.id, old.text FROM note AS new JOIN note AS old
  ON (old.seq, old.key) < (new.seq, new.key)
 AND (old.text = new.text OR old.model_id = new.model_id AND (old.emb <=> new.emb) <= %(distance)s)
ORDER BY new.seq DESC, new.key, old.seq DESC, old.key
"""
_OVER = """
SELECT e.key FROM entry AS e JOIN revision AS v ON v.entry_id = e.id AND v.number = e.head_number
WHERE e.space_id = %s AND NOT e.is_deleted AND v.kind = 'fact' AND v.valid_to <= now()
ORDER BY e.key
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Same:
    """`kept` says what `dropped` say."""

    kept: Revision
    dropped: tuple[Revision, ...]


def propose_tidying(*, scope: Scope, space: str) -> Tidying:
    """A branch without the memories, facts and episodes that a newer one repeats, and without facts
    whose time is over. What remains names what it stands for among its sources.

    Notes that differ in a number are never taken for the same.
    """
    place = access.writable_space(scope=scope, name=space)
    if place.parent_id is not None:
        raise InvalidInput(f"{space!r} is a branch itself. Tidy the space that it belongs to.")
    groups, over = list(_groups(scope, place)), _over(place)
    if not groups and not over:
        return Tidying(space=space, branch=None)
    branch = versions.create_branch(scope=scope, space=space, name=_free_name(scope, place)).name
    gone = set()
    for group in groups:
        _say_once(scope, place, branch, group)
        gone |= {revision.entry.key for revision in group.dropped}
    for key in over:
        if key not in gone:
            writing.delete_entry(scope=scope, space=branch, key=key, why="It holds no longer.")
    return Tidying(
        space=space,
        branch=branch,
        changes=merging.preview_merge(scope=scope, space=space, branch=branch).changes,
    )


def _groups(scope: Scope, place: Space) -> Iterator[_Same]:
    values: dict[str, Any] = {
        "organisation": scope.organisation_id,
        "space": place.id,
        "kinds": [EntryKind.MEMORY, EntryKind.FACT, EntryKind.EPISODE],
        "distance": 1 - ALIKE,
        "limit": _NOTES,
    }
    with connection.cursor() as cursor:
        cursor.execute(_ALIKE, values)
        pairs = cursor.fetchall()
    same: dict[UUID, list[UUID]] = {}
    dropped: set[UUID] = set()
    for new, new_text, old, old_text in pairs:
        if new not in dropped and old not in dropped and _numbers(new_text) == _numbers(old_text):
            same.setdefault(new, []).append(old)
            dropped.add(old)
    known = Revision.objects.select_related("entry").in_bulk([*same, *dropped])
    for kept, others in same.items():
        yield _Same(kept=known[kept], dropped=tuple(known[other] for other in others))


def _numbers(text: str) -> list[str]:
    return re.findall(r"\d+(?:[.,]\d+)*", text)


def _over(place: Space) -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute(_OVER, [place.id])
        return [key for (key,) in cursor.fetchall()]


def _say_once(scope: Scope, place: Space, branch: str, group: _Same) -> None:
    kept, key = group.kept, group.kept.entry.key
    stands_for = [
        {"space": place.name, "key": other.entry.key, "revision": other.number}
        for other in group.dropped
    ]
    labels = {kept.trust, *(other.trust for other in group.dropped)}
    writing.write_entry(
        scope=scope,
        space=branch,
        key=key,
        content=history.text_of(kept, organisation_id=scope.organisation_id),
        why=f"It stands for {len(stands_for)} notes that said the same.",
        kind=EntryKind(kept.kind),
        metadata=kept.metadata,
        trust="untrusted" if "untrusted" in labels else "trusted",
        sources=[*kept.sources, *stands_for][:MOST_SOURCES],
        valid_from=kept.valid_from,
        valid_to=kept.valid_to,
        expires_at=kept.expires_at,
    )
    for other in group.dropped:
        writing.delete_entry(
            scope=scope, space=branch, key=other.entry.key, why=f"{key} says the same."
        )


def _free_name(scope: Scope, place: Space) -> str:
    """Every attempt at the same state has the same name, so two at once make one proposal; after
    one that was closed, there may be another.
    """
    base = f"{place.name[:_NAME_ROOM]}.tidy-{place.seq}"
    name, number = base, 1
    while (found := access.find_space(scope=scope, name=name)) is not None:
        if found.merged_at is None:
            raise Conflict(
                f"{place.name!r} has a proposal for its present state already: the branch "
                f"{name!r}. Merge it or close it first."
            )
        number += 1
        name = f"{base}.{number}"
    return name
