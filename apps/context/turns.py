"""Turns of a dialogue that are entries of their own: those whose keys count on (`call/7`, `call/8`)
are found by each other's words, as the turns of one text are. An earlier moment finds a turn by the
words that were around it when it was last live.
"""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import chain

from django.db import connection

from apps.context import lineage
from apps.context.chunking import CONTEXT_CHARACTERS
from apps.context.models import Revision, Space
from apps.context.types import SpaceKind

_Row = tuple[int, int | None, int | None]  # a chunk, and the ones before and after it

_LAST_NUMBER = re.compile(r"(?<![0-9])([0-9]++)([^0-9]*)\Z")

_SETTLE = """
UPDATE chunk AS c SET bm = said.bm, terms = said.terms
FROM (
  SELECT own.id, lex_weights(lex.terms) AS bm, lex_scoped_terms(own.space_id, lex.terms) AS terms
  FROM unnest(%(chunks)s::bigint[], %(before)s::bigint[], %(after)s::bigint[])
    AS t (id, before_id, after_id)
  JOIN chunk AS own USING (id)
  JOIN blob AS b ON b.organisation_id = %(organisation)s AND b.hash = own.hash
  LEFT JOIN (chunk AS c0 JOIN blob AS b0 ON b0.organisation_id = %(organisation)s
    AND b0.hash = c0.hash) ON c0.id = t.before_id
  LEFT JOIN (chunk AS c1 JOIN blob AS b1 ON b1.organisation_id = %(organisation)s
    AND b1.hash = c1.hash) ON c1.id = t.after_id
  CROSS JOIN LATERAL (
    SELECT lex_passage(%(kind)s, b.heading, b.text, concat_ws(E'\\n', b.context,
                       left(b0.text, %(most)s), left(b1.text, %(most)s))) AS terms
  ) AS lex
) AS said
WHERE c.id = said.id AND (c.bm <> said.bm OR NOT c.terms @> said.terms)
"""
_CHUNKS = """
SELECT c.id FROM chunk AS c JOIN entry AS e ON e.id = c.entry_id
WHERE e.space_id = %s AND e.key = ANY(%s)
"""


def settle(*, space: Space, keys: Collection[str]) -> None:
    """Give the live chunks of `keys`, which have changed, the words of the turns around them, and
    those turns theirs. Nothing to do but in a space of dialogue. The caller holds the space's lock.
    """
    if space.kind != SpaceKind.DIALOGUE:
        return
    changed = set(keys)
    beside = _around(changed) - changed
    shown = lineage.heads_at(space, sorted(changed | beside | _around(beside)))
    own = {key: head for key, head in shown.items() if head.space_id == space.id and head.chunks}
    rows = [
        row
        for key in sorted((changed | beside) & own.keys())
        for row in _edges(key, shown, whole=key in changed)
    ]
    _write(space, rows)


def forget(*, space: Space, key: str) -> None:
    """After the erasure of `key`: no chunk, live or dead, is found by its words any more."""
    beside = _around([key])
    if space.kind != SpaceKind.DIALOGUE or not beside:
        return
    with connection.cursor() as cursor:
        cursor.execute(_CHUNKS, [space.id, sorted(beside)])
        _write(space, [(chunk, None, None) for (chunk,) in cursor.fetchall()])
    settle(space=space, keys=beside)


def _write(space: Space, rows: Sequence[_Row]) -> None:
    if not rows:
        return
    chunks, before, after = zip(*rows, strict=True)
    with connection.cursor() as cursor:
        cursor.execute(
            _SETTLE,
            {
                "chunks": list(chunks),
                "before": list(before),
                "after": list(after),
                "organisation": space.organisation_id,
                "kind": space.kind,
                "most": CONTEXT_CHARACTERS,
            },
        )


def _edges(key: str, shown: Mapping[str, Revision], *, whole: bool) -> Iterator[_Row]:
    """Each chunk with the one before and the one after it that belong to other entries; without
    those in the middle unless `whole`.
    """
    chunks = shown[key].chunks
    earlier, later = _beside(key)
    before = next((shown[near].chunks for near in earlier if near in shown), [])
    after = next((shown[near].chunks for near in later if near in shown), [])
    for chunk in dict.fromkeys(chunks if whole else (chunks[0], chunks[-1])):
        yield (
            chunk,
            before[-1] if before and chunk == chunks[0] else None,
            after[0] if after and chunk == chunks[-1] else None,
        )


def _around(keys: Iterable[str]) -> set[str]:
    return {near for key in keys for near in chain(*_beside(key))}


def _beside(key: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What the turns before and after `key` may be called: its last number is one less or more, and
    `key` is what may come after or before them.
    """
    found = _LAST_NUMBER.search(key)
    if found is None:
        return (), ()
    stem, number, end = key[: found.start()], int(found[1]), found[2]
    width = len(found[1])
    later = (f"{stem}{number + 1:0{width}}{end}",)
    if number == 0:
        return (), later
    earlier = f"{stem}{number - 1:0{width}}{end}"
    if width > 1 and number == 10 ** (width - 1):  # 10 comes after 9, as after 09
        return (earlier, f"{stem}{number - 1}{end}"), later
    return (earlier,), later
