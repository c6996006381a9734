"""Live chunks carry the metadata of their entry's head, and one index finds those that pass a filter."""

from django.db import migrations, models

# A fact is a value at a path of the metadata, hashed with the space: equal numbers are equal facts, and of a
# list each element is one. As with the terms of a text, the index is blind to other spaces.
FUNCTIONS = r"""
CREATE FUNCTION metadata_fact(space uuid, path text[], value jsonb) RETURNS integer
LANGUAGE sql IMMUTABLE PARALLEL SAFE STRICT
RETURN lex_scoped(space, array_to_string(path, chr(31)) || chr(30) || CASE jsonb_typeof(value)
  WHEN 'number' THEN trim_scale((value #>> '{}')::numeric)::text ELSE value::text END);

CREATE FUNCTION metadata_facts(space uuid, metadata jsonb) RETURNS integer[]
LANGUAGE sql IMMUTABLE PARALLEL SAFE STRICT COST 10000
BEGIN ATOMIC
  WITH RECURSIVE part (path, value) AS (
    SELECT '{}'::text[], metadata
    UNION ALL
    SELECT CASE WHEN inner_part.key IS NULL THEN part.path ELSE part.path || inner_part.key END,
           inner_part.value
    FROM part CROSS JOIN LATERAL (
      SELECT key, value
      FROM jsonb_each(CASE jsonb_typeof(part.value) WHEN 'object' THEN part.value ELSE '{}' END)
      UNION ALL
      SELECT NULL, value
      FROM jsonb_array_elements(CASE jsonb_typeof(part.value) WHEN 'array' THEN part.value ELSE '[]' END)
        AS element (value)
    ) AS inner_part
  )
  SELECT ARRAY(
    SELECT DISTINCT metadata_fact(space, path, value) FROM part
    WHERE jsonb_typeof(value) NOT IN ('object', 'array')
  );
END;
"""
DROP_FUNCTIONS = """
DROP FUNCTION metadata_facts(uuid, jsonb);
DROP FUNCTION metadata_fact(uuid, text[], jsonb);
"""

# To build an index of vectors anew is much faster than to enter rows into it one by one.
WIDTHS = (384, 768, 1024, 1536)
DROP = "\n".join(f"DROP INDEX chunk_emb_{width};" for width in WIDTHS)
FILL = """
UPDATE chunk AS c SET metadata = v.metadata FROM entry AS e, revision AS v
WHERE e.id = c.entry_id AND v.entry_id = e.id AND v.number = e.head_number AND c.died IS NULL
  AND v.metadata <> '{}';
"""
BUILD = "\n".join(
    f"CREATE INDEX chunk_emb_{width} ON chunk USING hnsw ((emb::halfvec({width})) halfvec_cosine_ops)"
    f" WHERE died IS NULL AND dimensions = {width};"
    for width in WIDTHS
)
INDEX = """
CREATE INDEX chunk_facts ON chunk USING gin (metadata_facts(space_id, metadata)) WITH (fastupdate = off)
  WHERE died IS NULL;
"""


class Migration(migrations.Migration):
    dependencies = [("context", "0005_chunk_models")]

    operations = [
        migrations.AddField("chunk", "metadata", models.JSONField(default=dict, db_default={})),
        migrations.RunSQL(FUNCTIONS, DROP_FUNCTIONS),
        migrations.RunSQL(f"{DROP}{FILL}{BUILD}", migrations.RunSQL.noop),
        migrations.RunSQL(INDEX, "DROP INDEX chunk_facts;"),
    ]
