"""The words that names are made of count, in prose and dialogue as in code."""

from django.db import migrations

# PostgreSQL's parser takes `os.path.join` for a host and `writeBoolean` for one word: whole they stay, and
# their parts are added. A space of code has the parts alone. A question has its names whole: who asks for
# OpenAI does not ask for what is open.
TERMS = r"""
CREATE FUNCTION lex_parts(content text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE STRICT
RETURN (
  SELECT coalesce(string_agg(
    regexp_replace(replace(name[1], '.', ' '), '([a-z0-9])([A-Z])', '\1 \2', 'g'), ' '), '')
  FROM regexp_matches(content, '\m([[:alpha:]_]\w*(?:\.[[:alpha:]_]\w*)+|\w*[a-z0-9][A-Z]\w*)', 'g') AS name
);

CREATE OR REPLACE FUNCTION lex_terms(kind text, content text) RETURNS tsvector
LANGUAGE sql IMMUTABLE PARALLEL SAFE STRICT
RETURN CASE kind
  WHEN 'code' THEN to_tsvector('simple',
    regexp_replace(regexp_replace(content, '([a-z0-9])([A-Z])', '\1 \2', 'g'), '[^[:alnum:]]+', ' ', 'g'))
  ELSE to_tsvector('english', content || ' ' || lex_parts(content))
END;

CREATE FUNCTION lex_asked(kind text, query text) RETURNS tsvector
LANGUAGE sql IMMUTABLE PARALLEL SAFE STRICT
RETURN CASE kind WHEN 'code' THEN lex_terms(kind, query) ELSE to_tsvector('english', query) END;
"""
TERMS_BEFORE = r"""
DROP FUNCTION lex_asked(text, text);

CREATE OR REPLACE FUNCTION lex_terms(kind text, content text) RETURNS tsvector
LANGUAGE sql IMMUTABLE PARALLEL SAFE STRICT
RETURN CASE kind
  WHEN 'code' THEN to_tsvector('simple',
    regexp_replace(regexp_replace(content, '([a-z0-9])([A-Z])', '\1 \2', 'g'), '[^[:alnum:]]+', ' ', 'g'))
  ELSE to_tsvector('english', content)
END;

DROP FUNCTION lex_parts(text);
"""

AGAIN = r"""
UPDATE chunk AS c SET terms = now.terms, bm = now.bm
FROM (
  SELECT old.id, lex_scoped_terms(old.space_id, lex.terms) AS terms, lex_weights(lex.terms) AS bm
  FROM chunk AS old JOIN space AS s ON s.id = old.space_id
  JOIN blob AS b ON b.organisation_id = s.organisation_id AND b.hash = old.hash
  CROSS JOIN LATERAL (SELECT lex_terms(s.kind, concat_ws(E'\n', b.heading, b.text, b.context)) AS terms) AS lex
  WHERE s.kind <> 'code'
) AS now
WHERE now.id = c.id AND now.bm::text <> c.bm::text;

DELETE FROM lexicon_term;
INSERT INTO lexicon_term (space_id, term, df)
SELECT space_id, term, count(*) FROM chunk CROSS JOIN unnest(terms) AS term
WHERE died IS NULL GROUP BY 1, 2 HAVING count(*) > 1;
UPDATE lexicon AS l SET changed = 0,
  chunks = (SELECT count(*) FROM chunk AS c WHERE c.space_id = l.space_id AND c.died IS NULL);
"""


class Migration(migrations.Migration):
    dependencies = [("context", "0006_chunk_metadata")]

    operations = [
        migrations.RunSQL(f"{TERMS}{AGAIN}", f"{TERMS_BEFORE}{AGAIN}"),
    ]
