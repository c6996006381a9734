"""The words of a turn count twice beside those of the turns around it."""

from django.db import migrations

PASSAGE = r"""
CREATE FUNCTION lex_passage(kind text, heading text, content text, around text) RETURNS tsvector
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN lex_terms(kind, concat_ws(E'\n', heading, content, CASE WHEN around <> '' THEN content END, around));
"""
AGAIN = r"""
UPDATE chunk AS c SET bm = now.bm
FROM (
  SELECT old.id, lex_weights({terms}) AS bm
  FROM chunk AS old JOIN space AS s ON s.id = old.space_id
  JOIN blob AS b ON b.organisation_id = s.organisation_id AND b.hash = old.hash
  WHERE s.kind = 'dialogue' AND b.context <> ''
) AS now
WHERE now.id = c.id;
"""
TWICE = AGAIN.format(terms="lex_passage(s.kind, b.heading, b.text, b.context)")
ONCE = AGAIN.format(terms=r"lex_terms(s.kind, concat_ws(E'\n', b.heading, b.text, b.context))")


class Migration(migrations.Migration):
    dependencies = [("context", "0007_words_of_names")]

    operations = [
        migrations.RunSQL(
            f"{PASSAGE}{TWICE}", f"{ONCE}DROP FUNCTION lex_passage(text, text, text, text);"
        ),
    ]
