"""The changes of a space, the revisions of one key, their texts, and what changed between two."""

import difflib
from collections.abc import Iterator, Sequence
from typing import Any
from uuid import UUID

from django.db import connection
from django.db.models import Count, Q, QuerySet

from apps.context import lineage, views
from apps.context.models import Revision, Space
from apps.context.types import Diff, DiffLine, Hunk, SpaceChange
from octavo.kernel.errors import NotFound

_AROUND = 3  # unchanged lines shown on either side of a change
_COMPARED = 4_000_000  # pairs of lines; a larger change is shown as one

_TEXT = """
SELECT coalesce(string_agg(blob.text, '' ORDER BY part.place), '')
FROM unnest(%(chunks)s::bigint[]) WITH ORDINALITY AS part (id, place)
JOIN chunk ON chunk.id = part.id
JOIN blob ON blob.organisation_id = %(organisation)s AND blob.hash = chunk.hash
"""


def text_of(revision: Revision, *, organisation_id: UUID) -> str:
    """The whole text, joined from its chunks."""
    values: dict[str, Any] = {"chunks": revision.chunks, "organisation": organisation_id}
    with connection.cursor() as cursor:
        cursor.execute(_TEXT, values)
        (text,) = cursor.fetchone() or ("",)
    return str(text)


def list_of(space: Space, key: str, *, limit: int, before: int | None = None) -> list[Revision]:
    """The newest first; in a branch, those of the parent up to where the branch begins follow."""
    found = _revisions(space, key).order_by("-number")
    if before is not None:
        found = found.filter(number__lt=before)
    return list(found[:limit])


def find(space: Space, key: str, number: int) -> Revision | None:
    return _revisions(space, key).filter(number=number).first()


def changes_of(space: Space, *, limit: int, before: int | None = None) -> list[SpaceChange]:
    """See `selectors.list_changes`."""
    made = Revision.objects.filter(space=space)
    earlier = made if before is None else made.filter(seq__lt=before)
    counted = earlier.values_list("seq").annotate(revisions=Count("id")).order_by("-seq")[:limit]
    counts = dict(counted)
    first = made.filter(seq__in=counts).order_by("-seq", "-operation", "entry__key").distinct("seq")
    return [
        SpaceChange(
            key=revision.entry.key,
            revision=views.revision_view(revision),
            revisions=counts[revision.seq],
        )
        for revision in first.select_related("entry")
    ]


def diff(
    space: Space, key: str, *, before: int | None, after: int | None, organisation_id: UUID
) -> Diff:
    """See `selectors.get_diff`."""
    newest = list_of(space, key, limit=1)
    if not newest:
        raise NotFound(f"There never was an entry {key!r} in the space {space.name!r}.")
    later = _wanted(space, key, newest[0].number if after is None else after)
    number = later.number - 1 if before is None else before
    earlier = _wanted(space, key, number) if number else None
    old = text_of(earlier, organisation_id=organisation_id) if earlier else ""
    new = text_of(later, organisation_id=organisation_id)
    lines = _lines(old.splitlines(), new.splitlines())
    hunks = tuple(_hunks(lines))
    return Diff(
        space=space.name,
        key=key,
        before=views.revision_view(earlier) if earlier else None,
        after=views.revision_view(later),
        added=sum(line.op == "added" for line in lines),
        removed=sum(line.op == "removed" for line in lines),
        hunks=hunks,
        unified=_unified(key, number, later.number, hunks),
    )


def _revisions(space: Space, key: str) -> QuerySet[Revision]:
    shown = Q()
    for layer in lineage.layers_of(space):
        shown |= Q(space=layer.space, seq__lte=layer.seq)
    return Revision.objects.filter(shown, entry__key=key).select_related("entry")


def _wanted(space: Space, key: str, number: int) -> Revision:
    found = find(space, key, number)
    if found is None:
        raise NotFound(
            f"There is no revision {number} of {key!r} in the space {space.name!r}. List its "
            "history for those there are."
        )
    return found


def _lines(old: Sequence[str], new: Sequence[str]) -> list[DiffLine]:
    found: list[DiffLine] = []
    for tag, i1, i2, j1, j2 in _opcodes(old, new):
        if tag == "equal":
            found += (
                DiffLine(op="same", old=i + 1, new=i - i1 + j1 + 1, text=old[i])
                for i in range(i1, i2)
            )
            continue
        found += (DiffLine(op="removed", old=i + 1, new=None, text=old[i]) for i in range(i1, i2))
        found += (DiffLine(op="added", old=None, new=j + 1, text=new[j]) for j in range(j1, j2))
    return found


def _opcodes(old: Sequence[str], new: Sequence[str]) -> Iterator[tuple[str, int, int, int, int]]:
    """As `difflib.SequenceMatcher.get_opcodes`, in bounded time."""
    limit = min(len(old), len(new))
    head = next((n for n in range(limit) if old[n] != new[n]), limit)
    limit -= head
    tail = next((n for n in range(limit) if old[-1 - n] != new[-1 - n]), limit)
    middle, other = old[head : len(old) - tail], new[head : len(new) - tail]
    if head:
        yield "equal", 0, head, 0, head
    if len(middle) * len(other) > _COMPARED:
        yield "replace", head, head + len(middle), head, head + len(other)
    else:
        matcher = difflib.SequenceMatcher(a=middle, b=other, autojunk=False)
        for tag, i1, i2, j1, j2 in matcher.get_opcodes():
            yield tag, i1 + head, i2 + head, j1 + head, j2 + head
    if tail:
        yield "equal", len(old) - tail, len(old), len(new) - tail, len(new)


def _hunks(lines: Sequence[DiffLine]) -> Iterator[Hunk]:
    changed = [place for place, line in enumerate(lines) if line.op != "same"]
    start = 0
    for place, following in zip(changed, [*changed[1:], None], strict=True):
        start = start or max(0, place - _AROUND) + 1
        if following is None or following - place > 2 * _AROUND:
            yield _hunk(lines, start - 1, min(len(lines), place + _AROUND + 1))
            start = 0


def _hunk(lines: Sequence[DiffLine], start: int, end: int) -> Hunk:
    """Lines are counted as in the unified format: an empty side begins at the line before it."""
    shown = tuple(lines[start:end])
    old_before = sum(line.old is not None for line in lines[:start])
    new_before = sum(line.new is not None for line in lines[:start])
    old_lines = sum(line.old is not None for line in shown)
    new_lines = sum(line.new is not None for line in shown)
    return Hunk(
        old_start=old_before + bool(old_lines),
        old_lines=old_lines,
        new_start=new_before + bool(new_lines),
        new_lines=new_lines,
        lines=shown,
    )


def _unified(key: str, before: int, after: int, hunks: Sequence[Hunk]) -> str:
    """https://www.gnu.org/software/diffutils/manual/html_node/Detailed-Unified.html"""
    if not hunks:
        return ""
    marks = {"same": " ", "removed": "-", "added": "+"}
    text = [f"--- {key} (revision {before})", f"+++ {key} (revision {after})"]
    for hunk in hunks:
        text.append(f"@@ -{hunk.old_start},{hunk.old_lines} +{hunk.new_start},{hunk.new_lines} @@")
        text += [f"{marks[line.op]}{line.text}" for line in hunk.lines]
    return "\n".join(text) + "\n"
