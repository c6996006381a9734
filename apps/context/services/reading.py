"""Opens entries and finds lines for a run: what it was shown is logged, and a decision is left."""

from collections.abc import Iterator, Sequence
from typing import Any

from django.db import connection

from apps.context import access, history, lineage, reads, selectors
from apps.context.models import Revision, Space
from apps.context.requirements import is_text
from apps.context.types import EntryView, Line, Moment
from octavo.kernel.errors import InvalidInput
from octavo.kernel.scope import Scope

MAX_LINES = 200
MAX_TEXT = 500
_LINE_CAP = 400  # characters of a line that are shown
_ENTRIES = 200  # entries that one search for lines opens

# The revisions that hold the text, wherever their chunks are cut.
_HOLDING = """
SELECT v.id FROM unnest(%(spaces)s::uuid[], %(seqs)s::bigint[])
  WITH ORDINALITY AS layer (space_id, seq, depth)
JOIN entry AS e ON e.space_id = layer.space_id AND starts_with(e.key, %(prefix)s)
CROSS JOIN LATERAL (
  SELECT r.id, r.operation, r.chunks FROM revision AS r
  WHERE r.entry_id = e.id AND r.seq <= layer.seq ORDER BY r.seq DESC LIMIT 1
) AS v
WHERE v.operation <> 'delete'
  AND (
    SELECT CASE WHEN %(ignore_case)s THEN position(lower(%(text)s) IN lower(whole.text))
                ELSE position(%(text)s IN whole.text) END
    FROM (SELECT string_agg(b.text, '' ORDER BY part.place) AS text
          FROM unnest(v.chunks) WITH ORDINALITY AS part (id, place)
          JOIN chunk AS c ON c.id = part.id
          JOIN blob AS b ON b.organisation_id = %(organisation)s AND b.hash = c.hash) AS whole
  ) > 0
  AND NOT EXISTS (
    SELECT 1 FROM unnest(%(spaces)s::uuid[], %(seqs)s::bigint[])
      WITH ORDINALITY AS above (space_id, seq, depth)
    JOIN entry AS own ON own.space_id = above.space_id AND own.key = e.key
    JOIN revision AS r ON r.entry_id = own.id AND r.seq <= above.seq
    WHERE above.depth < layer.depth)
ORDER BY e.key LIMIT %(limit)s
"""


def open_entry(
    *,
    scope: Scope,
    space: str,
    key: str,
    as_of: Moment | None = None,
    revision: int | None = None,
    step: str = "",
) -> EntryView:
    """As `selectors.get_entry`, for a run: the read is logged."""
    (place,) = access.readable_spaces(scope=scope, names=[space], step=step)
    entry = selectors.get_entry(scope=scope, space=space, key=key, as_of=as_of, revision=revision)
    read = (entry.id, entry.revision.number)
    reads.log_whole(scope=scope, step=step, space=place, entries=[read])
    return entry


def grep(
    *,
    scope: Scope,
    spaces: Sequence[str],
    text: str,
    prefix: str = "",
    ignore_case: bool = False,
    limit: int = 50,
    step: str = "",
) -> tuple[Line, ...]:
    """The lines that hold `text` as it is written, by key and line number."""
    if not text.strip() or len(text) > MAX_TEXT or not is_text(text) or "\n" in text:
        raise InvalidInput(
            f"A line cannot be sought by that: give 1 to {MAX_TEXT} characters of one line.",
            errors=[{"path": "/text", "detail": f"1 to {MAX_TEXT} characters of one line"}],
        )
    places = access.readable_spaces(scope=scope, names=spaces, step=step)
    asked = {"text": text, "prefix": prefix, "ignore_case": ignore_case}
    found: list[Line] = []
    for place in places:
        holding = _holding(scope, place, asked)
        lines = [
            line for v in holding for line in _lines(scope, place, v, text, ignore_case=ignore_case)
        ][: limit - len(found)]
        shown = {line.key for line in lines}
        opened = [(v.entry_id, v.number) for v in holding if v.entry.key in shown]
        reads.log_whole(scope=scope, step=step, space=place, entries=opened)
        found += lines
    return tuple(found)


def _holding(scope: Scope, place: Space, asked: dict[str, Any]) -> list[Revision]:
    layers = lineage.layers_of(place)
    values = asked | {
        "organisation": scope.organisation_id,
        "spaces": [layer.space.id for layer in layers],
        "seqs": [layer.seq for layer in layers],
        "limit": _ENTRIES,
    }
    with connection.cursor() as cursor:
        cursor.execute(_HOLDING, values)
        wanted = [row[0] for row in cursor.fetchall()]
    found = Revision.objects.filter(id__in=wanted).select_related("entry")
    return sorted(found, key=lambda revision: revision.entry.key)


def _lines(
    scope: Scope, place: Space, revision: Revision, text: str, *, ignore_case: bool
) -> Iterator[Line]:
    whole = history.text_of(revision, organisation_id=scope.organisation_id)
    wanted = text.lower() if ignore_case else text
    for number, line in enumerate(whole.split("\n"), start=1):
        if wanted in (line.lower() if ignore_case else line):
            yield Line(
                space=place.name,
                key=revision.entry.key,
                revision=revision.number,
                line=number,
                text=line.rstrip("\r")[:_LINE_CAP],
                trust=revision.trust,
            )
