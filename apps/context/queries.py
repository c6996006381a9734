"""Search as one SQL statement: both legs, their fusion and the citations come from one snapshot.

Fusion is the convex combination of min-max normalised scores (Bruch, Gai, Ingber: "An Analysis of
Fusion Functions for Hybrid Retrieval", 2023). The rarest terms of a query find the candidates, as
many as together occur in a twentieth of the chunks; all terms count in the score.
"""

from apps.context.types import SearchMode, SpaceKind

POOL = 100  # candidates of each leg
EXACT_ROWS = 20_000  # up to so many visible rows an exact scan is fast and misses nothing
INDEXED_DIMENSIONS = frozenset({384, 768, 1024, 1536})
DENSE_WEIGHT = {SpaceKind.TEXT: 0.5, SpaceKind.CODE: 0.8, SpaceKind.DIALOGUE: 0.3}

APPROXIMATE_SETTINGS = (
    "SET LOCAL hnsw.iterative_scan = relaxed_order; SET LOCAL hnsw.ef_search = 120; "
    "SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = on"
)

_ASKED = """
place AS MATERIALIZED (
  SELECT *
  FROM unnest(%(spaces)s::uuid[], %(kinds)s::text[], %(weights)s::float8[]) AS p (id, kind, weight)
), spoken AS (
  SELECT k.kind, t.lexeme FROM (SELECT DISTINCT kind FROM place) AS k
  CROSS JOIN LATERAL unnest(lex_terms(k.kind, %(query)s)) AS t
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

_LEXICAL = """, lexical AS (
  SELECT c.id FROM chunk AS c
  WHERE c.terms && (SELECT terms FROM asked) AND c.space_id = ANY(%(spaces)s) AND c.died IS NULL
  ORDER BY c.bm <#> (SELECT bm FROM asked)
  LIMIT %(pool)s
)"""

# "+ 0" keeps the planner off the HNSW index, which loses rows behind a filter.
_DENSE_EXACT = """, dense AS (
  SELECT c.id FROM chunk AS c
  WHERE c.space_id = ANY(%(spaces)s) AND c.died IS NULL AND c.model_id = %(model)s
  ORDER BY (c.emb <=> %(vector)s::halfvec) + 0
  LIMIT %(pool)s
)"""

_DENSE_APPROXIMATE = """, dense AS (
  SELECT c.id FROM chunk AS c
  WHERE c.space_id = ANY(%(spaces)s) AND c.died IS NULL AND c.model_id = %(model)s
    AND c.dimensions = {dimensions}
  ORDER BY c.emb::halfvec({dimensions}) <=> %(vector)s::halfvec({dimensions})
  LIMIT %(pool)s
)"""

_SCORED = """, pool AS (
  {pool}
), raw AS (
  SELECT c.id, c.space_id, c.entry_id, c.hash, p.weight, {dense} AS dense, {lexical} AS lexical
  FROM pool JOIN chunk AS c USING (id) JOIN place AS p ON p.id = c.space_id
), bounds AS (
  SELECT min(dense) AS d0, max(dense) AS d1, min(lexical) AS l0, max(lexical) AS l1 FROM raw
), ranked AS (
  SELECT id, space_id, entry_id, hash, {score} AS score
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

_SUBSTRING = """
WITH ranked AS (
  SELECT c.id, c.space_id, c.entry_id, c.hash, 1.0 AS score FROM chunk AS c
  JOIN blob AS b ON b.organisation_id = %(organisation)s AND b.hash = c.hash
  JOIN entry AS e ON e.id = c.entry_id
  WHERE c.space_id = ANY(%(spaces)s) AND c.died IS NULL
    AND position(lower(%(query)s) IN lower(b.text)) > 0
  ORDER BY e.key, c.id
  LIMIT %(limit)s
)"""

_CITED = """
SELECT r.id, r.score, s.name, s.seq, e.id, e.key, v.number, v.trust, v.metadata, b.text, b.heading,
       array_position(v.chunks, r.id) AS place, v.starts[array_position(v.chunks, r.id)] AS start,
       {found} AS found
FROM ranked AS r
JOIN space AS s ON s.id = r.space_id
JOIN entry AS e ON e.id = r.entry_id
JOIN revision AS v ON v.entry_id = e.id AND v.number = e.head_number
JOIN blob AS b ON b.organisation_id = %(organisation)s AND b.hash = r.hash
ORDER BY r.score DESC, e.key, place
"""

# How much of the question's weight each text carries, 0 to 1; in the order of the texts.
WORD_SHARES = """
WITH term AS (
  SELECT t.lexeme, greatest(coalesce(sum(d.df), 0), 1) AS df
  FROM unnest(lex_terms(%(kind)s, %(query)s)) AS t
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
    "found",
)


def search_statement(mode: SearchMode, *, approximate: int | None = None) -> str:
    """The statement of a mode. `approximate`: the width whose HNSW index finds the dense leg."""
    if mode is SearchMode.EXACT:
        return _SUBSTRING + _CITED.format(found="0")
    dense = _DENSE_EXACT
    if approximate:
        dense = _DENSE_APPROXIMATE.format(dimensions=approximate)
    if mode is SearchMode.LEXICAL:
        legs, pool, scores = _LEXICAL, "SELECT id FROM lexical", (_NONE, _BM25, _LEXICAL_SCORE)
    elif mode is SearchMode.DENSE:
        legs, pool, scores = dense, "SELECT id FROM dense", (_COSINE, _NONE, _DENSE_SCORE)
    else:
        legs = dense + _LEXICAL
        pool = "SELECT id FROM dense UNION SELECT id FROM lexical"
        scores = (_COSINE, _BM25, _FUSED_SCORE)
    scored = _SCORED.format(pool=pool, dense=scores[0], lexical=scores[1], score=scores[2])
    found = "0" if mode is SearchMode.LEXICAL else "(SELECT count(*) FROM dense)"
    return f"WITH {_ASKED}{legs}{scored}{_CITED.format(found=found)}"
