"""BM25 as a sparse vector, and the indexes of the search rows."""

from django.db import migrations

# Weights follow Robertson & Zaragoza, "The Probabilistic Relevance Framework: BM25 and Beyond" (2009), with
# k1 = 1.2, b = 0.75 and a fixed mean length of 150 terms, so that a weight never depends on other chunks; the
# inverse document frequency is in the query vector. Terms are hashed into 2^29 buckets: no vocabulary table.
FUNCTIONS = r"""
CREATE FUNCTION lex_id(lexeme text) RETURNS integer
LANGUAGE sql IMMUTABLE PARALLEL SAFE STRICT
RETURN 1 + (hashtextextended(lexeme, 0) & 536870911)::integer;

CREATE FUNCTION lex_scoped(space uuid, lexeme text) RETURNS integer
LANGUAGE sql IMMUTABLE PARALLEL SAFE STRICT
RETURN (hashtextextended(space::text || lexeme, 0) & 2147483647)::integer;

CREATE FUNCTION lex_terms(kind text, content text) RETURNS tsvector
LANGUAGE sql IMMUTABLE PARALLEL SAFE STRICT
RETURN CASE kind
  WHEN 'code' THEN to_tsvector('simple',
    regexp_replace(regexp_replace(content, '([a-z0-9])([A-Z])', '\1 \2', 'g'), '[^[:alnum:]]+', ' ', 'g'))
  ELSE to_tsvector('english', content)
END;

CREATE FUNCTION lex_weights(terms tsvector) RETURNS sparsevec
LANGUAGE sql IMMUTABLE PARALLEL SAFE STRICT
BEGIN ATOMIC
  WITH counted AS (
    SELECT lex_id(t.lexeme) AS id, sum(cardinality(t.positions))::float8 AS tf FROM unnest(terms) t GROUP BY 1
  ), total AS (
    SELECT coalesce(sum(tf), 0) AS length FROM counted
  )
  SELECT ('{' || coalesce(string_agg(
           id || ':' || round((tf * 2.2 / (tf + 1.2 * (0.25 + 0.75 * length / 150)))::numeric, 4), ',' ORDER BY id
         ), '') || '}/536870913')::sparsevec
  FROM counted, total;
END;

CREATE FUNCTION lex_scoped_terms(space uuid, terms tsvector) RETURNS integer[]
LANGUAGE sql IMMUTABLE PARALLEL SAFE STRICT
RETURN ARRAY(SELECT DISTINCT lex_scoped(space, t.lexeme) FROM unnest(terms) t);
"""

# A search row is a little over 2 kB: kept in one piece, an exact scan reads it without a detour through TOAST.
# HNSW needs a fixed width: the usual ones have an index, any other width is scanned exactly.
INDEXES = """
ALTER TABLE chunk SET (toast_tuple_target = 8160);
CREATE UNIQUE INDEX chunk_live ON chunk (entry_id, hash) WHERE died IS NULL;
CREATE INDEX chunk_space ON chunk (space_id) WHERE died IS NULL;
CREATE INDEX chunk_as_of ON chunk (space_id, born, died);
CREATE INDEX chunk_hash ON chunk (hash);
CREATE INDEX chunk_terms ON chunk USING gin (terms) WITH (fastupdate = off) WHERE died IS NULL;
CREATE INDEX chunk_emb_384 ON chunk USING hnsw ((emb::halfvec(384)) halfvec_cosine_ops) WHERE died IS NULL AND dimensions = 384;
CREATE INDEX chunk_emb_768 ON chunk USING hnsw ((emb::halfvec(768)) halfvec_cosine_ops) WHERE died IS NULL AND dimensions = 768;
CREATE INDEX chunk_emb_1024 ON chunk USING hnsw ((emb::halfvec(1024)) halfvec_cosine_ops) WHERE died IS NULL AND dimensions = 1024;
CREATE INDEX chunk_emb_1536 ON chunk USING hnsw ((emb::halfvec(1536)) halfvec_cosine_ops) WHERE died IS NULL AND dimensions = 1536;
"""

DROP_FUNCTIONS = """
DROP FUNCTION lex_scoped_terms(uuid, tsvector);
DROP FUNCTION lex_weights(tsvector);
DROP FUNCTION lex_terms(text, text);
DROP FUNCTION lex_scoped(uuid, text);
DROP FUNCTION lex_id(text);
"""

DROP_INDEXES = """
DROP INDEX chunk_live, chunk_space, chunk_as_of, chunk_hash, chunk_terms,
  chunk_emb_384, chunk_emb_768, chunk_emb_1024, chunk_emb_1536;
"""


class Migration(migrations.Migration):
    dependencies = [("context", "0001_initial")]

    operations = [
        migrations.RunSQL(FUNCTIONS, DROP_FUNCTIONS),
        migrations.RunSQL(INDEXES, DROP_INDEXES),
    ]
