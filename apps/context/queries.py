"""Search as one SQL statement: both legs, their fusion and the citations come from one snapshot.

Fusion is the convex combination of min-max normalised scores (Bruch, Gai, Ingber: "An Analysis of
Fusion Functions for Hybrid Retrieval", 2023). The rarest terms of a query find the candidates, as
many as together occur in a twentieth of the chunks; all terms count in the score.
"""

from dataclasses import dataclass
from functools import lru_cache

from apps.context.types import SearchMode, SpaceKind

POOL = 100  # candidates of each leg
EXACT_ROWS = 20_000  # up to so many visible rows an exact scan is fast and misses nothing
FILTERED_ROWS = 5_000  # the same behind a filter, which must be evaluated first
INDEXED_DIMENSIONS = frozenset({384, 768, 1024, 1536})
DENSE_WEIGHT = {SpaceKind.TEXT: 0.6, SpaceKind.CODE: 0.8, SpaceKind.DIALOGUE: 0.3}

# Which indexes serve is decided by the shape of a statement, so one plan serves all its values: to
# plan takes longer than to search. Its numbers of rows are part of its text, for the planner.
PLANNED_ONCE = (
    "SET LOCAL jit = off; SET LOCAL plan_cache_mode = force_generic_plan; "
    "SET LOCAL enable_seqscan = off; SET LOCAL max_parallel_workers_per_gather = 0"
)
PLANNED_EACH = "SET LOCAL jit = off; SET LOCAL plan_cache_mode = force_custom_plan"
APPROXIMATE = "SET LOCAL hnsw.iterative_scan = relaxed_order; SET LOCAL hnsw.ef_search = 120"

# A place is one layer of a space that was asked for: `n` numbers it, `name` is what was asked,
# `depth` 0 is the space itself, `at` the last sequence number that counts.
_PLACES = """
place AS MATERIALIZED (
  SELECT * FROM unnest(%(spaces)s::uuid[], %(kinds)s::text[], %(weights)s::float8[],
                       %(names)s::text[], %(seqs)s::bigint[], %(depths)s::int[])
    WITH ORDINALITY AS p (id, kind, weight, name, at, depth, n)
)"""

_ASKED = """, spoken AS (
  SELECT k.kind, t.lexeme FROM (SELECT DISTINCT kind FROM place) AS k
  CROSS JOIN LATERAL unnest(lex_asked(k.kind, %(query)s)) AS t
), term AS (
  SELECT lex_id(s.lexeme) AS id, greatest(coalesce(sum(d.df), 0), 1) AS df,
         array_agg(lex_scoped(p.id, s.lexeme)) AS scoped
  FROM spoken AS s JOIN place AS p USING (kind)
  LEFT JOIN lexicon_term AS d ON d.space_id = p.id AND d.term = lex_scoped(p.id, s.lexeme)
  GROUP BY 1
), total AS (
  SELECT coalesce(sum(l.chunks), 0) AS n FROM lexicon AS l JOIN place AS p ON p.id = l.space_id
), weighed AS (
  SELECT id, scoped, ln(1 + (greatest(n - df, 0) + 0.5) / (df + 0.5)) AS idf,
         sum(df) OVER (ORDER BY df, id) <= greatest(n / 20, 5000)
         OR row_number() OVER (ORDER BY df, id) <= 2 AS is_rare
  FROM term, total
), asked AS MATERIALIZED (
  SELECT ('{' || coalesce(string_agg(id || ':' || round(idf::numeric, 4), ',' ORDER BY id), '')
          || '}/536870913')::sparsevec AS bm,
         ARRAY(SELECT unnest(scoped) FROM weighed WHERE is_rare) AS terms
  FROM weighed
)"""

# The present of whole spaces: two conditions that the partial indexes know.
_LIVE_SOURCE = "chunk AS c"
_LIVE_ROWS = "c.space_id = ANY(%(spaces)s) AND c.died IS NULL"
# A filter on metadata asks the chunk itself.
_LIVE_HAS = " AND {condition}"
# By what the index knows of the filter; "IS TRUE" leaves the planner no other one to begin with.
_LIVE_KNOWN = "(c.space_id = ANY(%(spaces)s)) IS TRUE AND c.died IS NULL AND {facts}"
# Any other filter asks the head of the chunk's entry.
_LIVE_PASSING = """, passing AS MATERIALIZED (
  SELECT e.id FROM entry AS e
  JOIN revision AS v ON v.entry_id = e.id AND v.number = e.head_number
  WHERE e.space_id = ANY(%(spaces)s) AND NOT e.is_deleted AND {condition}
)"""
_LIVE_PASSES = " AND c.entry_id IN (SELECT id FROM passing)"
# For the few rows that an index brings in its order; as a join, all that pass would be read first.
_LIVE_PASSES_EACH = """ AND (
  SELECT {condition} FROM entry AS e
  JOIN revision AS v ON v.entry_id = e.id AND v.number = e.head_number
  WHERE e.id = c.entry_id AND NOT e.is_deleted
)"""
# The same in two steps, where a step before has found out how many pass.
_LIVE_PASSES_LISTED = " AND c.entry_id = ANY(%(passing)s::uuid[])"
_LIVE_LIST = """
SELECT count(*), coalesce(array_agg(id), '{}')::text FROM (
  SELECT e.id FROM entry AS e
  JOIN revision AS v ON v.entry_id = e.id AND v.number = e.head_number
  WHERE e.space_id = ANY(%(spaces)s) AND NOT e.is_deleted AND {condition}
  LIMIT %(most)s
) AS passing
"""

# An earlier moment, or a branch over its parent.
_PAST_SOURCE = "place AS p JOIN chunk AS c ON c.space_id = p.id"
_PAST_ROWS = """c.born <= p.at AND (c.died IS NULL OR c.died > p.at)
    AND NOT EXISTS (SELECT 1 FROM hidden AS h WHERE h.n = p.n AND h.id = c.entry_id)"""
_PAST_HIDDEN = """, hidden AS MATERIALIZED (
  SELECT low.n, below.id
  FROM place AS high JOIN place AS low ON low.name = high.name AND low.depth > high.depth
  JOIN entry AS above ON above.space_id = high.id
  JOIN entry AS below ON below.space_id = low.id AND below.key = above.key
  WHERE EXISTS (SELECT 1 FROM revision AS v WHERE v.entry_id = above.id AND v.seq <= high.at)
)"""
_PAST_PASSING = """, passing AS MATERIALIZED (
  SELECT p.n, e.id FROM place AS p JOIN entry AS e ON e.space_id = p.id
  CROSS JOIN LATERAL (
    SELECT * FROM revision AS r WHERE r.entry_id = e.id AND r.seq <= p.at
    ORDER BY r.seq DESC LIMIT 1
  ) AS v
  WHERE v.operation <> 'delete' AND {condition}
)"""
_PAST_PASSES = " AND EXISTS (SELECT 1 FROM passing AS f WHERE f.n = p.n AND f.id = c.entry_id)"

_LEXICAL = """, lexical AS (
  SELECT {row} FROM {source} WHERE {rows} AND c.terms && (SELECT terms FROM asked)
  ORDER BY c.bm <#> (SELECT bm FROM asked)
  LIMIT %(pool)s
)"""

# "+ 0" keeps the planner off the HNSW index, which loses rows behind a filter.
_DENSE_EXACT = """, dense AS (
  SELECT {row} FROM {source} WHERE {rows} AND c.model_id = %(model)s
  ORDER BY (c.emb <=> %(vector)s::halfvec) + 0
  LIMIT %(pool)s
)"""

_DENSE_APPROXIMATE = """, dense AS (
  SELECT {row} FROM {source} WHERE {rows} AND c.model_id = %(model)s AND c.dimensions = {dimensions}
  ORDER BY c.emb::halfvec({dimensions}) <=> %(vector)s::halfvec({dimensions})
  LIMIT %(pool)s
)"""

# Where few chunks pass a filter, each is read once, for both legs; where there are more than were
# expected, one row without a chunk says so.
_FEW = """, few AS MATERIALIZED (
  SELECT c.id, CASE WHEN c.model_id = %(model)s THEN c.emb <=> %(vector)s::halfvec END AS distance,
         {words} AS words
  FROM chunk AS c WHERE {rows} AND {condition}
  LIMIT %(most)s
)"""
_FEW_WORDS = """CASE WHEN c.terms && (SELECT terms FROM asked)
              THEN c.bm <#> (SELECT bm FROM asked) END"""
_OF_FEW = """, {leg} AS (
  SELECT id FROM few WHERE {score} IS NOT NULL AND (SELECT count(*) FROM few) < %(most)s
  ORDER BY {score}
  LIMIT %(pool)s
)"""
_DENSE_FEW = _OF_FEW.format(leg="dense", score="distance")
_LEXICAL_FEW = _OF_FEW.format(leg="lexical", score="words")
_OR_MANY = """({cited}) UNION ALL
SELECT {nothing}, count(*) FROM few HAVING count(*) = %(most)s
"""

_FOUND_LIVE = ("SELECT id FROM dense", "SELECT id FROM lexical")
_FOUND_PAST = ("SELECT id, n FROM dense", "SELECT id, n FROM lexical")
_SCORED = """, pool AS (
  {pool}
), raw AS (
  SELECT c.id, p.n, c.entry_id, c.hash, p.weight, {dense} AS dense, {lexical} AS lexical
  FROM pool JOIN chunk AS c USING (id) JOIN place AS p ON {place}
), bounds AS (
  SELECT min(dense) AS d0, max(dense) AS d1, min(lexical) AS l0, max(lexical) AS l1 FROM raw
), ranked AS (
  SELECT id, n, entry_id, hash, {score} AS score, dense,
         CASE WHEN l1 > 0 THEN lexical / l1 END AS lexical
  FROM raw, bounds ORDER BY score DESC, id LIMIT %(limit)s
)"""

_COSINE = (
    "CASE WHEN c.model_id = %(model)s THEN greatest(1 - (c.emb <=> %(vector)s::halfvec), 0) END"
)
_BM25 = "-(c.bm <#> (SELECT bm FROM asked))"
_NONE = "NULL::float8"
_DENSE_SCORE = "coalesce(dense, 0)"
_LEXICAL_SCORE = "CASE WHEN l1 > 0 THEN lexical / l1 ELSE 0 END"
_FUSED_SCORE = """
    weight * CASE WHEN d1 > d0 THEN coalesce((dense - d0) / (d1 - d0), 0)
                  ELSE coalesce(dense, 0) END
    + (1 - weight) * CASE WHEN l1 > l0 THEN (lexical - l0) / (l1 - l0)
                          WHEN l1 > 0 THEN 1 ELSE 0 END"""

# The revisions that are shown, for searching their texts from end to end.
_LIVE_SHOWN = """, shown AS (
  SELECT p.n, v.entry_id, v.chunks, v.starts, v.length
  FROM place AS p JOIN entry AS e ON e.space_id = p.id
  JOIN revision AS v ON v.entry_id = e.id AND v.number = e.head_number
  WHERE NOT e.is_deleted {passes}
)"""
_PAST_SHOWN = """, shown AS (
  SELECT p.n, v.entry_id, v.chunks, v.starts, v.length
  FROM place AS p JOIN entry AS e ON e.space_id = p.id
  CROSS JOIN LATERAL (
    SELECT * FROM revision AS r WHERE r.entry_id = e.id AND r.seq <= p.at
    ORDER BY r.seq DESC LIMIT 1
  ) AS v
  WHERE v.operation <> 'delete'
    AND NOT EXISTS (SELECT 1 FROM hidden AS h WHERE h.n = p.n AND h.id = e.id) {passes}
)"""

# A chunk is found where the query begins in it; `tail` is what of it lies in the chunks after it. A
# whole name spelt so is certain; part of one, or another spelling, is less so.
_VERBATIM = """, ranked AS (
  SELECT part.id, s.n, s.entry_id, c.hash,
    substr(whole.text, reach.upto + 1, greatest(reach.found - reach.upto, 0)) AS tail,
    CASE WHEN position(%(query)s IN seen.own) = 0 THEN 0.6
         WHEN seen.around ~ %(whole)s THEN 1.0 ELSE 0.8 END AS score,
    NULL::float8 AS dense, NULL::float8 AS lexical
  FROM shown AS s
  CROSS JOIN LATERAL (
    SELECT string_agg(b.text, '' ORDER BY p.place) AS text
    FROM unnest(s.chunks) WITH ORDINALITY AS p (id, place) JOIN chunk AS c ON c.id = p.id
    JOIN blob AS b ON b.organisation_id = %(organisation)s AND b.hash = c.hash
  ) AS whole
  CROSS JOIN LATERAL unnest(s.chunks, s.starts) WITH ORDINALITY AS part (id, start, place)
  CROSS JOIN LATERAL (
    SELECT substr(whole.text, part.start + 1, size) AS own,
           substr(whole.text, part.start, size + 2) AS around
    FROM (SELECT coalesce(s.starts[part.place + 1], s.length) - part.start
                 + length(%(query)s) - 1) AS width (size)
  ) AS seen
  CROSS JOIN LATERAL (
    SELECT coalesce(s.starts[part.place + 1], s.length) AS upto,
           part.start + position(lower(%(query)s) IN lower(seen.own)) + length(%(query)s) - 1
             AS found
  ) AS reach
  JOIN chunk AS c ON c.id = part.id
  WHERE position(lower(%(query)s) IN lower(whole.text)) > 0
    AND position(lower(%(query)s) IN lower(seen.own)) > 0
  ORDER BY score DESC, part.id
  LIMIT %(limit)s
)"""
_CITED = """
SELECT r.id, r.score, p.name, s.seq, e.id, e.key, v.number, v.trust, v.metadata, {text},
       b.heading, array_position(v.chunks, r.id) AS place,
       v.starts[array_position(v.chunks, r.id)] AS start, r.dense, r.lexical, {found} AS found
FROM ranked AS r
JOIN place AS p ON p.n = r.n
JOIN space AS s ON s.id = p.id
JOIN entry AS e ON e.id = r.entry_id
{revision}
JOIN blob AS b ON b.organisation_id = %(organisation)s AND b.hash = r.hash
ORDER BY r.score DESC, e.key, place
"""
_HEAD = "JOIN revision AS v ON v.entry_id = e.id AND v.number = e.head_number"
_THEN = """CROSS JOIN LATERAL (
  SELECT * FROM revision AS old WHERE old.entry_id = e.id AND old.seq <= p.at
  ORDER BY old.seq DESC LIMIT 1
) AS v"""

# How much of the question's weight each text carries, 0 to 1; in the order of the texts.
WORD_SHARES = """
WITH term AS (
  SELECT t.lexeme, greatest(coalesce(sum(d.df), 0), 1) AS df
  FROM unnest(lex_asked(%(kind)s, %(query)s)) AS t
  CROSS JOIN unnest(%(spaces)s::uuid[]) AS p (id)
  LEFT JOIN lexicon_term AS d ON d.space_id = p.id AND d.term = lex_scoped(p.id, t.lexeme)
  GROUP BY 1
), total AS (
  SELECT coalesce(sum(chunks), 0) AS n FROM lexicon WHERE space_id = ANY(%(spaces)s)
), weighed AS MATERIALIZED (
  SELECT lexeme, ln(1 + (greatest(n - df, 0) + 0.5) / (df + 0.5)) AS idf FROM term, total
)
SELECT coalesce((SELECT sum(w.idf) FROM weighed AS w
                 WHERE w.lexeme = ANY(tsvector_to_array(lex_terms(%(kind)s, u.content))))
                / (SELECT nullif(sum(idf), 0) FROM weighed), 0)
FROM unnest(%(texts)s::text[]) WITH ORDINALITY AS u (content, place)
ORDER BY u.place
"""

COLUMNS = (
    "chunk_id",
    "score",
    "space",
    "seq",
    "entry_id",
    "key",
    "revision",
    "trust",
    "metadata",
    "text",
    "heading",
    "place",
    "start",
    "dense",
    "lexical",
    "found",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """Which statement is needed, for how many hits. `past`: of a moment or a branch. `condition` is
    a compiled filter; `of_chunk` and `facts` are its other forms. With `is_few` it leaves few:
    their entries are in `passing`, or where chunks are asked, they are less than `most`, or else
    one row has no `chunk_id`. `approximate` is the width whose HNSW index finds the dense leg.
    """

    mode: SearchMode
    limit: int
    past: bool = False
    condition: str = ""
    of_chunk: str = ""
    facts: str = ""
    is_few: bool = False
    approximate: int | None = None

    @property
    def pool(self) -> int:
        """How many candidates each leg brings; more than are wanted, where not all are sure."""
        unsure = self.mode is SearchMode.HYBRID or (self.approximate and self.condition)
        return max(POOL, self.limit) if unsure else self.limit

    @property
    def asks_chunks(self) -> bool:
        """Whether the filter is asked of live chunks, not of entries and revisions."""
        return bool(self.of_chunk) and not self.past and self.mode is not SearchMode.EXACT

    @property
    def settings(self) -> str:
        """What the statement needs to be set in its transaction."""
        if self.past or self.mode is SearchMode.EXACT:
            return PLANNED_EACH
        return f"{PLANNED_ONCE}; {APPROXIMATE}" if self.approximate else PLANNED_ONCE


@lru_cache(maxsize=256)
def search_statement(shape: Shape) -> str:
    """The parameters are those of `_PLACES` and `query`, `organisation`, `model`, `vector`,
    `whole`, and the filter's own.
    """
    head, found = _asked(shape), "0"
    if shape.mode is SearchMode.EXACT:
        body = _shown(shape) + _VERBATIM
    else:
        body = _legs(shape)
        if shape.mode is not SearchMode.LEXICAL:
            found = "(SELECT count(*) FROM dense)"
    text = "b.text || r.tail" if shape.mode is SearchMode.EXACT else "b.text"
    cited = _CITED.format(found=found, text=text, revision=_THEN if shape.past else _HEAD)
    if shape.is_few and shape.asks_chunks:
        nothing = ", ".join("NULL" for _ in COLUMNS[1:])
        cited = _OR_MANY.format(cited=cited, nothing=nothing)
    statement = f"WITH {head}{body}{cited}"
    return statement.replace("%(limit)s", str(shape.limit)).replace("%(pool)s", str(shape.pool))


def passing_statement(condition: str) -> str:
    """How many entries a filter leaves, and their ids as an array; at most `most`."""
    return _LIVE_LIST.replace("{condition}", condition)


def _asked(shape: Shape) -> str:
    has_words = shape.mode in {SearchMode.HYBRID, SearchMode.LEXICAL}
    parts = [_PLACES, _ASKED] if has_words else [_PLACES]
    if shape.past:
        parts.append(_PAST_HIDDEN)
    if shape.condition and shape.past:
        parts.append(_PAST_PASSING.replace("{condition}", shape.condition))
    elif shape.condition and not (shape.asks_chunks or shape.approximate or shape.is_few):
        parts.append(_LIVE_PASSING.replace("{condition}", shape.condition))
    return "".join(parts)


def _shown(shape: Shape) -> str:
    if shape.past:
        passes = _PAST_PASSES.replace("c.entry_id", "e.id")
        return _PAST_SHOWN.format(passes=passes if shape.condition else "")
    passes = _LIVE_PASSES.replace("c.entry_id", "e.id")
    return _LIVE_SHOWN.format(passes=passes if shape.condition else "")


def _of_rows(template: str, shape: Shape) -> str:
    """`template` over the rows that may be seen."""
    if shape.past:
        source, rows, row, passes = _PAST_SOURCE, _PAST_ROWS, "c.id, p.n", _PAST_PASSES
    else:
        source, rows, row = _LIVE_SOURCE, _LIVE_ROWS, "c.id"
        passes = _live_passes(shape)
    rows += passes if shape.condition else ""
    return template.format(source=source, rows=rows, row=row)


def _live_passes(shape: Shape) -> str:
    if shape.asks_chunks:
        return _LIVE_HAS.replace("{condition}", shape.of_chunk)
    if shape.is_few:
        return _LIVE_PASSES_LISTED
    if shape.approximate:
        return _LIVE_PASSES_EACH.replace("{condition}", shape.condition)
    return _LIVE_PASSES


def _known_rows(shape: Shape) -> str:
    return _LIVE_KNOWN.format(facts=shape.facts) if shape.facts else _LIVE_ROWS


def _legs(shape: Shape) -> str:
    dense, lexical = _both_legs(shape)
    one, other = _FOUND_PAST if shape.past else _FOUND_LIVE
    if shape.mode is SearchMode.LEXICAL:
        legs, pool, scores = lexical, other, (_NONE, _BM25, _LEXICAL_SCORE)
    elif shape.mode is SearchMode.DENSE:
        legs, pool, scores = dense, one, (_COSINE, _NONE, _DENSE_SCORE)
    else:
        legs = dense + lexical
        pool = f"{one} UNION {other}"
        scores = (_COSINE, _BM25, _FUSED_SCORE)
    scored = _SCORED.format(
        pool=pool,
        place="p.n = pool.n" if shape.past else "p.id = c.space_id",
        dense=scores[0],
        lexical=scores[1],
        score=scores[2],
    )
    return legs + scored


def _both_legs(shape: Shape) -> tuple[str, str]:
    if shape.is_few and shape.asks_chunks:
        words = "NULL::float8" if shape.mode is SearchMode.DENSE else _FEW_WORDS
        few = _FEW.format(rows=_known_rows(shape), condition=shape.of_chunk, words=words)
        return few + _DENSE_FEW, _LEXICAL_FEW
    dense = _DENSE_EXACT
    if shape.approximate:
        dense = _DENSE_APPROXIMATE.replace("{dimensions}", str(shape.approximate))
    return _of_rows(dense, shape), _of_rows(_LEXICAL, shape)
