"""What of a space is in doubt, told from what its entries say about themselves: no model judges."""

from collections.abc import Sequence
from typing import Any

from django.db import connection

from apps.context.models import Space
from apps.context.types import Flag, FlagKind

_FLAGS = """
WITH head AS (
  SELECT e.key, v.* FROM entry AS e
  JOIN revision AS v ON v.entry_id = e.id AND v.number = e.head_number
  WHERE e.space_id = %(space)s AND NOT e.is_deleted
), flag AS (
  SELECT 'outdated' AS kind, key, number, 'It held until ' || to_char(valid_to AT TIME ZONE 'UTC',
    'YYYY-MM-DD') || '.' AS detail, NULL::text AS space, NULL::text AS other, NULL::int AS revision
  FROM head WHERE valid_to <= now()
  UNION ALL
  SELECT 'source_changed', h.key, h.number,
    CASE WHEN o.is_deleted THEN 'Its source was deleted.'
         ELSE 'Its source is at revision ' || o.head_number || ' now.' END,
    p.name, o.key, (s.source ->> 'revision')::int
  FROM head AS h
  CROSS JOIN LATERAL jsonb_array_elements(h.sources) AS s (source)
  JOIN unnest(%(ids)s::uuid[], %(names)s::text[]) AS p (id, name) ON p.name = s.source ->> 'space'
  JOIN entry AS o ON o.space_id = p.id AND o.key = s.source ->> 'key'
  WHERE CASE WHEN s.source ->> 'revision' ~ '^[0-9]{1,9}$'
             THEN o.is_deleted OR (s.source ->> 'revision')::int < o.head_number ELSE false END
  UNION ALL
  SELECT 'contradiction', h.key, h.number, 'Another fact says otherwise about the same.',
    %(name)s, o.key, o.number
  FROM head AS h JOIN head AS o ON o.entry_id <> h.entry_id
    AND o.metadata -> 'subject' = h.metadata -> 'subject'
    AND o.metadata -> 'attribute' IS NOT DISTINCT FROM h.metadata -> 'attribute'
  WHERE h.kind = 'fact' AND o.kind = 'fact'
    AND CASE WHEN h.metadata ? 'value' AND o.metadata ? 'value'
             THEN h.metadata -> 'value' <> o.metadata -> 'value'
             ELSE h.text_hash <> o.text_hash END
    AND tstzrange(h.valid_from, h.valid_to) && tstzrange(o.valid_from, o.valid_to)
    AND coalesce(h.valid_to > now(), true) AND coalesce(o.valid_to > now(), true)
)
SELECT * FROM flag ORDER BY key, kind, space, other LIMIT %(limit)s
"""


def flags_of(space: Space, *, readable: Sequence[Space], limit: int) -> list[Flag]:
    values: dict[str, Any] = {
        "space": space.id,
        "name": space.name,
        "ids": [place.id for place in readable],
        "names": [place.name for place in readable],
        "limit": limit,
    }
    with connection.cursor() as cursor:
        cursor.execute(_FLAGS, values)
        rows = cursor.fetchall()
    return [
        Flag(
            kind=FlagKind(kind),
            key=key,
            revision=number,
            detail=detail,
            other={"space": place, "key": other, "revision": revision} if other else None,
        )
        for kind, key, number, detail, place, other, revision in rows
    ]
