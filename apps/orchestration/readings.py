"""Statements that only read what `statements` wrote."""

READ_EVENTS = """
SELECT seq, type, step, attempt, started_at, at, data, input_tokens, output_tokens, cost_usd
FROM event WHERE run_id = %(id)s AND seq > %(after)s ORDER BY seq LIMIT %(limit)s
"""

READ_BLOBS = """
SELECT sha256, body FROM run_blob
WHERE organisation_id = %(organisation_id)s AND sha256 = ANY(%(hashes)s::bytea[])
"""

READ_MAIL = """
SELECT seq, kind, body FROM mail WHERE run_id = %(id)s AND seq > %(after)s ORDER BY seq
"""

UNTIL_TIMER = "SELECT extract(epoch FROM min(fire_at) - now()) FROM timer WHERE fired_at IS NULL"

COUNT_FAMILY = """
SELECT count(*) FROM run WHERE root_id = %(root_id)s AND parent_id IS NOT NULL
"""
