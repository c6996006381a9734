"""Every statement that moves a run, in one place to be reviewed together.

Invariants, kept by these statements and by nothing else:

1. A run is written only by the holder of its fence, or while nobody holds it. Every statement of a
   holder names `id`, `fence` and `status = 'running'`; no row back means: fenced, stop.
2. `next_seq` moves by one with each event, in the same statement, and is compared first: the
   journal has no gaps and no forks.
3. A lease is taken by raising `fence`, so an old holder that wakes up finds no row.
4. A run parks only if its inbox holds no mail it has not read (compare-and-set on `mail_seq`), and
   mail wakes a run in the statement that delivers it. Both lock the run's row, so no mail is lost
   between them. `woken` is set from the row being updated: a sub-select would read the snapshot.
5. A fork's copies are written in the transaction that creates it, before anybody can claim it:
   whole steps only, in their order, numbered without gaps from 2. Blobs are named by their
   content, so they are shared and not copied.
6. A run that a loop outside reports (`heard_at`) is running without a lease: nobody claims it, and
   HEAR locks its row before anything is appended.
7. Times that two processes compare are the database's `now()`.
8. Never do more runs run than a limit allows, single calls aside: the count of those that run is
   taken while the limit's row is locked, and nothing but CLAIM_WITHIN_LIMITS makes a run that it
   binds run. One that was cancelled is let through, because it only ends.
9. `rank` is written by the statement that makes a run ready, and orders the ready runs of a
   project: a step of priority is worth ten minutes of waiting, so that no run waits for ever.

Isolation is READ COMMITTED. Parameters are named; `lease` is in seconds.
"""

INSERT_RUN = """
INSERT INTO run (
  id, organisation_id, team_id, project_id, agent_id, agent_name, agent_version_id, version,
  strategy, root_id, parent_id, parent_key, depth, status, next_seq, deadline_at, input,
  started_by, starter_id, starter_kind, key_id, session, metadata, triggered_by, chain_depth,
  traceparent, route, retry_of, tags, priority, rank)
VALUES (
  %(id)s, %(organisation_id)s, %(team_id)s, %(project_id)s, %(agent_id)s, %(agent_name)s,
  %(agent_version_id)s, %(version)s, %(strategy)s, %(root_id)s, %(parent_id)s, %(parent_key)s,
  %(depth)s, 'ready', 2,
  now() + %(deadline)s::interval, %(input)s::jsonb, %(started_by)s, %(starter_id)s,
  %(starter_kind)s, %(key_id)s, %(session)s, %(metadata)s::jsonb, %(triggered_by)s,
  %(chain_depth)s, %(traceparent)s, %(route)s,
  %(retry_of)s, %(tags)s::text[], %(priority)s::smallint,
  now() - %(priority)s::smallint * interval '10 minutes')
RETURNING deadline_at
"""

# A workflow acts for whoever started it, so its run holds the starter's scopes too.
INSERT_WORKFLOW_RUN = """
INSERT INTO run (
  id, organisation_id, team_id, project_id, workflow_id, workflow_name, workflow_version_id,
  version, strategy, root_id, parent_id, parent_key, depth, status, next_seq, deadline_at, input,
  started_by, starter_id, starter_kind, key_id, key_scopes, is_autonomous, session, metadata,
  traceparent, triggered_by, chain_depth, retry_of, tags, priority, rank)
VALUES (
  %(id)s, %(organisation_id)s, %(team_id)s, %(project_id)s, %(workflow_id)s, %(workflow_name)s,
  %(workflow_version_id)s, %(version)s, 'workflow', %(root_id)s, %(parent_id)s, %(parent_key)s,
  %(depth)s, 'ready', 2,
  now() + %(deadline)s::interval, %(input)s::jsonb, %(started_by)s, %(starter_id)s,
  %(starter_kind)s, %(key_id)s, %(key_scopes)s::jsonb, %(is_autonomous)s, %(session)s,
  %(metadata)s::jsonb, %(traceparent)s, %(triggered_by)s, %(chain_depth)s, %(retry_of)s,
  %(tags)s::text[], %(priority)s::smallint,
  now() - %(priority)s::smallint * interval '10 minutes')
RETURNING deadline_at
"""

# A tool call begins in the hands of the process that was asked for it: claimed, and journaled.
INSERT_CALL = """
WITH run AS (
  INSERT INTO run (
    id, organisation_id, team_id, project_id, tool, strategy, root_id, parent_key, status, fence,
    owner, lease_until, started_at, next_seq, input, started_by, starter_id, starter_kind, key_id,
    key_scopes, is_autonomous, session, metadata, traceparent)
  VALUES (
    %(id)s, %(organisation_id)s, %(team_id)s, %(project_id)s, %(tool)s, 'call', %(id)s, '',
    'running', 1, %(owner)s, now() + make_interval(secs => %(lease)s), now(), 2, %(input)s::jsonb,
    %(started_by)s, %(starter_id)s, %(starter_kind)s, %(key_id)s, %(key_scopes)s::jsonb,
    %(is_autonomous)s, %(session)s, %(metadata)s::jsonb, %(traceparent)s)
)
INSERT INTO event (run_id, seq, type, step, attempt, fence, started_at, data)
VALUES (%(id)s, 1, 'run_started', '', 1, 1, now(), %(data)s::jsonb)
RETURNING at
"""

INSERT_FIRST_EVENT = """
INSERT INTO event (run_id, seq, type, step, attempt, fence, started_at, data)
VALUES (%(id)s, 1, 'run_started', '', 1, 0, now(), %(data)s::jsonb)
"""

# Only events of steps that were over by then: what was under way stays with the parent.
COPY_EVENTS = """
WITH kept AS (
  SELECT event.*, 1 + row_number() OVER (ORDER BY event.seq) AS place
  FROM event
  WHERE event.run_id = %(parent)s AND event.seq <= %(seq)s
    AND event.step = ANY(%(steps)s::text[])
), stored AS (
  INSERT INTO run_blob (organisation_id, sha256, body)
  SELECT %(organisation_id)s, content.sha256, content.body
  FROM unnest(%(hashes)s::bytea[], %(bodies)s::bytea[]) AS content(sha256, body)
  ON CONFLICT DO NOTHING
), copied AS (
  INSERT INTO event (run_id, seq, type, step, attempt, fence, started_at, at, data,
    input_tokens, output_tokens, cost_usd)
  SELECT %(id)s, kept.place, kept.type, kept.step, kept.attempt, 0, kept.started_at, kept.at,
    coalesce(edit.data, kept.data), kept.input_tokens, kept.output_tokens, kept.cost_usd
  FROM kept LEFT JOIN unnest(%(edited)s::int[], %(edits)s::jsonb[]) AS edit(seq, data)
    ON edit.seq = kept.seq
)
UPDATE run SET
  next_seq = 2 + (SELECT count(*) FROM kept), forked_at_seq = 1 + (SELECT count(*) FROM kept),
  forked_from = %(parent)s, forked_at_step = %(step)s, given_route = %(route)s,
  is_dry_run = %(is_dry_run)s
WHERE id = %(id)s AND fence = 0 AND next_seq = 2
RETURNING next_seq
"""

# A node of a workflow is also over when its model was given up, which has no result.
FIND_RESULTS = """
SELECT step, seq, type = ANY(%(results)s::text[]) FROM event
WHERE run_id = %(id)s AND (type = ANY(%(results)s::text[])
  OR %(given_up)s AND type = 'model_failed' AND data -> 'retry_in' = 'null')
ORDER BY seq
"""

FIND_REPORTED = """
SELECT step, type, seq, data ->> 'digest' FROM event
WHERE run_id = %(id)s AND seq > 1 AND step = ANY(%(steps)s)
"""

# A loop outside takes its own run in hand from the start: no lease, no worker, no hint.
OPEN_OUTSIDE = """
UPDATE run SET status = 'running', started_at = now(), heard_at = now()
WHERE id = %(id)s AND status = 'ready' AND fence = 0 AND next_seq = 2
"""

HEAR = """
UPDATE run SET heard_at = now()
WHERE id = %(id)s AND status = 'running' AND heard_at IS NOT NULL
RETURNING fence, next_seq, read_seq, mail_seq, cancel_requested, now()
"""

TAKE_SILENT = """
SELECT id, fence, next_seq, read_seq, mail_seq, cancel_requested, now(),
  coalesce(deadline_at <= now(), false)
FROM run
WHERE status = 'running' AND heard_at IS NOT NULL AND (
  heard_at < now() - make_interval(secs => %(idle)s) OR deadline_at <= now()
  OR cancel_requested AND heard_at < now() - make_interval(secs => %(grace)s))
ORDER BY heard_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED
"""

_LIMITS_OF_RUN = """
  bound.project_id = run.project_id AND (
    bound.kind = 'project'
    OR (bound.kind = 'agent' AND bound.target = run.agent_name)
    OR (bound.kind = 'route' AND bound.target = run.route))
"""

_BUSY = """
  SELECT count(*) FROM run AS busy
  WHERE busy.status = 'running' AND busy.heard_at IS NULL
    AND busy.project_id = bound.project_id AND busy.id <> run.id
    AND busy.tool = '' AND CASE bound.kind
      WHEN 'agent' THEN busy.agent_name = bound.target
      WHEN 'route' THEN busy.route = bound.target
      ELSE true END
"""


_CLAIMS = """
  status = 'running', fence = fence + 1, owner = %(owner)s, hints = 0, waiting_on = NULL,
  slot_wait = NULL, lease_until = now() + make_interval(secs => %(lease)s),
  started_at = coalesce(started_at, now()), crashes = crashes + (status = 'running')::int
"""

_CLAIMED = """
  run.id, organisation_id, team_id, project_id, agent_id, agent_name, agent_version_id, tool,
  workflow_name, workflow_version_id, started_by, starter_id, starter_kind, key_id, key_scopes,
  is_autonomous, strategy, input, fence, root_id, parent_id, parent_key, depth, forked_from,
  given_route, is_dry_run, next_seq, read_seq,
  mail_seq, cancel_requested, crashes, deadline_at, now()
"""


def _bound(statement: str, *, full: str = "") -> str:
    """With what a limit binds, how many of those run, and what a claim sets, in their places."""
    complete = statement.replace("{full}", full).replace("{limits}", _LIMITS_OF_RUN)
    complete = complete.replace("{claims}", _CLAIMS).replace("{claimed}", _CLAIMED)
    return complete.replace("{busy}", f"({_BUSY})")


_CLAIM = """
UPDATE run SET {claims}
WHERE id = %(id)s AND (
  status = 'ready'
  OR (status = 'running' AND lease_until < now() AND crashes + 1 < %(most_crashes)s)) AND (
  cancel_requested OR tool <> '' OR NOT EXISTS (
    SELECT FROM concurrency_limit AS bound WHERE {limits} AND {full}))
RETURNING {claimed}
"""

# A run that a limit binds is claimed by the second statement, in a transaction which has locked its
# limits (LOCK_LIMITS) before that statement's snapshot: two claims never count the same free slot.
CLAIM = _bound(_CLAIM, full="true")
CLAIM_WITHIN_LIMITS = _bound(_CLAIM, full="{busy} >= bound.most")

HAS_LIMITS = _bound("""
SELECT 1 FROM concurrency_limit AS bound, run
WHERE run.id = %(id)s AND run.status IN ('ready', 'running') AND {limits} LIMIT 1
""")

LOCK_LIMITS = _bound("""
SELECT bound.id FROM concurrency_limit AS bound, run
WHERE run.id = %(id)s AND {limits} ORDER BY bound.id FOR NO KEY UPDATE OF bound
""")

WAIT_FOR_SLOT = _bound("""
UPDATE run SET hints = 0, hinted_at = now(), slot_wait = (
  SELECT bound.id FROM concurrency_limit AS bound
  WHERE {limits} AND {busy} >= bound.most ORDER BY bound.id LIMIT 1)
WHERE id = %(id)s AND status = 'ready' AND NOT cancel_requested
RETURNING slot_wait
""")

# Those that wait for a limit which is gone are let go as well.
FILL_SLOTS = """
WITH full_or_gone AS (
  SELECT DISTINCT slot_wait AS id FROM run WHERE status = 'ready' AND slot_wait IS NOT NULL
), free AS (
  SELECT full_or_gone.id, coalesce(bound.most, 1000) - coalesce((
    SELECT count(*) FROM run AS busy
    WHERE busy.status = 'running' AND busy.heard_at IS NULL AND busy.project_id = bound.project_id
      AND busy.tool = '' AND CASE bound.kind
        WHEN 'agent' THEN busy.agent_name = bound.target
        WHEN 'route' THEN busy.route = bound.target
        ELSE true END), 0) AS slots
  FROM full_or_gone LEFT JOIN concurrency_limit AS bound USING (id)
)
UPDATE run SET slot_wait = NULL, hinted_at = now()
WHERE id IN (
  SELECT first.id FROM free, LATERAL (
    SELECT run.id FROM run WHERE run.status = 'ready' AND run.slot_wait = free.id
    ORDER BY run.rank LIMIT greatest(free.slots, 0) FOR UPDATE SKIP LOCKED) AS first)
RETURNING id
"""

# The projects with ready runs are found one by one along the index; those that wait as yet, for a
# slot or after a failure, are passed over. Whoever takes a turn locks the row first, so that two
# hints never take the same run, and none is spent on a run that another has taken. A run that a
# limit binds is only put aside for a moment; the columns of its claim are null. With `spend`, one
# hint is taken out of the outbox for it.
CLAIM_TURN = _bound("""
WITH RECURSIVE project AS (
  (SELECT project_id FROM run WHERE status = 'ready' AND slot_wait IS NULL
   ORDER BY project_id LIMIT 1)
  UNION ALL
  SELECT (
    SELECT run.project_id FROM run
    WHERE status = 'ready' AND slot_wait IS NULL AND run.project_id > project.project_id
    ORDER BY run.project_id LIMIT 1)
  FROM project WHERE project.project_id IS NOT NULL
), in_turn AS MATERIALIZED (
  SELECT project_id FROM project WHERE project_id IS NOT NULL
  ORDER BY (
    SELECT count(*) FROM run AS busy
    WHERE busy.status = 'running' AND busy.heard_at IS NULL
      AND busy.project_id = project.project_id), (
    SELECT run.rank FROM run
    WHERE status = 'ready' AND slot_wait IS NULL AND run.project_id = project.project_id
      AND hinted_at <= now()
    ORDER BY rank LIMIT 1)
), chosen AS MATERIALIZED (
  SELECT first.* FROM in_turn, LATERAL (
    SELECT run.id AS chosen, NOT cancel_requested AND tool = '' AND EXISTS (
      SELECT FROM concurrency_limit AS bound WHERE {limits}) AS is_bound
    FROM run
    WHERE status = 'ready' AND slot_wait IS NULL AND run.project_id = in_turn.project_id
      AND hinted_at <= now()
    ORDER BY rank LIMIT 1 FOR UPDATE SKIP LOCKED) AS first
  LIMIT 1
), put_aside AS (
  UPDATE run SET hinted_at = now() + interval '2 s' FROM chosen WHERE id = chosen AND is_bound
), claimed AS (
  UPDATE run SET {claims} FROM chosen WHERE id = chosen AND NOT is_bound RETURNING {claimed}
), spent AS (
  DELETE FROM outbox WHERE %(spend)s AND id IN (
    SELECT id FROM outbox WHERE available_at <= now() AND name = 'orchestration.advance'
    ORDER BY available_at, id LIMIT 1 FOR UPDATE SKIP LOCKED)
  RETURNING id
)
SELECT hints.spent, chosen.chosen, claimed.*
FROM (SELECT count(*) > 0 AS spent FROM spent) AS hints
LEFT JOIN chosen ON true LEFT JOIN claimed ON claimed.id = chosen.chosen
""")

# The blobs' rows are in the same statement: an event never names content that is not there.
APPEND = """
WITH moved AS (
  UPDATE run SET
    next_seq = next_seq + 1, crashes = 0,
    lease_until = CASE WHEN heard_at IS NULL THEN now() + make_interval(secs => %(lease)s) END,
    read_seq = greatest(read_seq, %(read_seq)s),
    steps = steps + %(steps)s,
    input_tokens = input_tokens + %(input_tokens)s,
    output_tokens = output_tokens + %(output_tokens)s,
    cost_usd = cost_usd + %(cost_usd)s
  WHERE id = %(id)s AND fence = %(fence)s AND status = 'running' AND next_seq = %(seq)s
  RETURNING id, organisation_id, fence, cancel_requested, mail_seq
), stored AS (
  INSERT INTO run_blob (organisation_id, sha256, body)
  SELECT moved.organisation_id, content.sha256, content.body
  FROM moved, unnest(%(hashes)s::bytea[], %(bodies)s::bytea[]) AS content(sha256, body)
  ON CONFLICT DO NOTHING
), appended AS (
  INSERT INTO event (run_id, seq, type, step, attempt, fence, started_at, data,
    input_tokens, output_tokens, cost_usd)
  SELECT id, %(seq)s, %(type)s, %(step)s, %(attempt)s, fence,
    now() - make_interval(secs => %(took)s), %(data)s::jsonb,
    %(input_tokens)s, %(output_tokens)s, %(cost_usd)s
  FROM moved
)
SELECT cancel_requested, mail_seq, now() FROM moved
"""

FINISH = """
WITH moved AS (
  UPDATE run SET
    next_seq = next_seq + 1, status = %(status)s, owner = NULL, lease_until = NULL,
    output = %(output)s::jsonb, error = %(error)s::jsonb, finished_at = now()
  WHERE id = %(id)s AND fence = %(fence)s AND status = 'running' AND next_seq = %(seq)s
  RETURNING id, fence
)
INSERT INTO event (run_id, seq, type, step, attempt, fence, started_at, data)
SELECT id, %(seq)s, %(type)s, '', 1, fence, now(), %(data)s::jsonb FROM moved
RETURNING at
"""

PARK = """
WITH parked AS (
  UPDATE run SET
    status = 'waiting', owner = NULL, lease_until = NULL, read_seq = %(mail_seq)s,
    waiting_on = %(waiting_on)s::jsonb || jsonb_build_object('since', now())
  WHERE id = %(id)s AND fence = %(fence)s AND status = 'running' AND mail_seq = %(mail_seq)s
  RETURNING id
), timed AS (
  INSERT INTO timer (run_id, key, fire_at)
  SELECT id, wanted.key, fire_at
  FROM parked, unnest(%(keys)s::text[], %(times)s::timestamptz[]) AS wanted (key, fire_at)
  ON CONFLICT (run_id, key) DO NOTHING
)
SELECT id FROM parked
"""

# Gives a run back without counting a crash: it yields, or its worker stops.
RELEASE = """
UPDATE run SET status = 'ready', owner = NULL, lease_until = NULL,
  hinted_at = now(), rank = now() - priority * interval '10 minutes'
WHERE id = %(id)s AND fence = %(fence)s AND status = 'running'
RETURNING id
"""

LOOK = """
SELECT cancel_requested, mail_seq, now() FROM run
WHERE id = %(id)s AND fence = %(fence)s AND status = 'running'
"""

HEARTBEAT = """
UPDATE run SET lease_until = now() + make_interval(secs => %(lease)s)
FROM unnest(%(ids)s::uuid[], %(fences)s::bigint[]) AS held(id, fence)
WHERE run.id = held.id AND run.fence = held.fence AND run.status = 'running'
RETURNING run.id, run.cancel_requested
"""

_DELIVERS = """
  mail_seq = mail_seq + 1,
  woken = (status = 'waiting'),
  hinted_at = CASE
    WHEN status = 'waiting' THEN now()
    WHEN %(kind)s = 'cancel' AND slot_wait IS NOT NULL THEN now() - interval '1 h'
    ELSE hinted_at END,
  rank = CASE WHEN status = 'waiting' THEN now() - priority * interval '10 minutes' ELSE rank END,
  slot_wait = CASE WHEN %(kind)s = 'cancel' THEN NULL ELSE slot_wait END,
  status = CASE WHEN status = 'waiting' THEN 'ready' ELSE status END,
  cancel_requested = cancel_requested OR %(kind)s = 'cancel'
"""

DELIVER = """
WITH woken AS (
  UPDATE run SET {delivers}
  WHERE id = %(id)s AND status IN ('ready', 'running', 'waiting')
    AND NOT EXISTS (
      SELECT FROM mail WHERE run_id = %(id)s AND dedupe_key = %(dedupe_key)s)
  RETURNING id, mail_seq, woken
), delivered AS (
  INSERT INTO mail (run_id, seq, kind, body, dedupe_key)
  SELECT id, mail_seq, %(kind)s, %(body)s::jsonb, %(dedupe_key)s FROM woken
)
SELECT woken FROM woken
""".replace("{delivers}", _DELIVERS)

SET_TIMER = """
INSERT INTO timer (run_id, key, fire_at)
VALUES (%(id)s, %(key)s, %(fire_at)s) ON CONFLICT (run_id, key) DO NOTHING
"""

# Due timers become mail, all in one statement, for the runs that nobody else is writing just now;
# a second timer of a run comes with the next call.
FIRE_TIMERS = """
WITH due AS MATERIALIZED (
  SELECT timer.id, run_id, key, fire_at FROM timer JOIN run ON run.id = run_id
  WHERE fired_at IS NULL AND fire_at <= now()
  ORDER BY fire_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED
), next AS (
  SELECT DISTINCT ON (run_id) * FROM due ORDER BY run_id, fire_at, id
), fired AS (
  UPDATE timer SET fired_at = now() FROM next WHERE timer.id = next.id
), woken AS (
  UPDATE run SET {delivers} FROM next
  WHERE run.id = next.run_id AND status IN ('ready', 'running', 'waiting')
  RETURNING run.id, mail_seq, woken, next.id AS timer, next.key
), delivered AS (
  INSERT INTO mail (run_id, seq, kind, body, dedupe_key)
  SELECT id, mail_seq, %(kind)s, jsonb_build_object('key', key), 'timer:' || timer FROM woken
)
SELECT next.run_id, coalesce(woken.woken, false) FROM next LEFT JOIN woken ON woken.timer = next.id
""".replace("{delivers}", _DELIVERS)

TAKE_EXPIRED = """
SELECT id, crashes, next_seq, owner FROM run
WHERE status = 'running' AND lease_until < now()
ORDER BY id LIMIT %(limit)s FOR UPDATE SKIP LOCKED
"""

# The row is locked by TAKE_EXPIRED, or its fence is checked by the caller's own statement.
REVIVE = """
UPDATE run SET status = 'ready', owner = NULL, lease_until = NULL, crashes = crashes + 1,
  hinted_at = now() + %(delay)s::interval, rank = now() - priority * interval '10 minutes'
WHERE id = ANY(%(ids)s) AND status = 'running'
RETURNING id
"""

STUMBLE = """
UPDATE run SET status = 'ready', owner = NULL, lease_until = NULL, crashes = crashes + 1,
  hinted_at = now() + %(delay)s::interval, rank = now() - priority * interval '10 minutes'
WHERE id = %(id)s AND fence = %(fence)s AND status = 'running'
  AND crashes + 1 < %(most_crashes)s
RETURNING id
"""

QUARANTINE = """
WITH moved AS (
  UPDATE run SET
    next_seq = next_seq + 1, fence = fence + 1, status = 'quarantined', owner = NULL,
    lease_until = NULL, crashes = crashes + 1, error = %(error)s::jsonb, finished_at = now()
  WHERE id = %(id)s AND status = 'running' AND (%(fence)s::bigint IS NULL OR fence = %(fence)s)
  RETURNING id, fence, next_seq - 1 AS seq, parent_id, parent_key
), appended AS (
  INSERT INTO event (run_id, seq, type, step, attempt, fence, started_at, data)
  SELECT id, seq, 'run_quarantined', '', 1, fence, now(), %(error)s::jsonb FROM moved
)
SELECT seq, parent_id, parent_key FROM moved
"""

# A person lets a run go on that was set aside: the same event is tried anew, as by a new worker.
PUT_BACK = """
WITH moved AS (
  UPDATE run SET
    next_seq = next_seq + 1, fence = fence + 1, status = 'ready', crashes = 0, hints = 0,
    hinted_at = now(), rank = now() - priority * interval '10 minutes', error = NULL,
    finished_at = NULL
  WHERE id = %(id)s AND status = 'quarantined'
  RETURNING id, fence, next_seq - 1 AS seq
)
INSERT INTO event (run_id, seq, type, step, attempt, fence, started_at, data)
SELECT id, seq, 'run_resumed', '', 1, fence, now(), %(data)s::jsonb FROM moved
RETURNING seq
"""

LIVE_CHILDREN = """
SELECT id FROM run
WHERE parent_id = %(id)s AND status IN ('ready', 'running', 'waiting') ORDER BY id
"""

ORPHANS = """
SELECT child.id FROM run child JOIN run parent ON parent.id = child.parent_id
WHERE child.status IN ('ready', 'running', 'waiting') AND child.parent_id IS NOT NULL
  AND NOT child.cancel_requested
  AND parent.status IN ('done', 'failed', 'cancelled', 'quarantined')
ORDER BY child.id LIMIT %(limit)s
"""

# Each unanswered hint doubles the wait for the next: a long queue is not made longer by doubt.
TAKE_FORGOTTEN = """
UPDATE run SET hinted_at = now(), hints = hints + 1
WHERE id IN (
  SELECT id FROM run
  WHERE status = 'ready' AND slot_wait IS NULL
    AND hinted_at < now() - make_interval(secs => %(after)s * power(2, least(hints, 5)))
  ORDER BY id LIMIT %(limit)s FOR UPDATE SKIP LOCKED)
RETURNING id
"""
