"""Reserving and closing are one statement each: a window is locked for one trip to the database.

Windows are locked in the order of their ids before anything is read, so that two calls never wait
for each other and a limit is read as it stands under the lock.
"""

from django.db import migrations

FUNCTIONS = """
CREATE FUNCTION budget_starts_at(period text) RETURNS timestamptz LANGUAGE sql STABLE AS $$
    SELECT CASE period
        WHEN 'day' THEN date_trunc('day', now(), 'UTC')
        WHEN 'month' THEN date_trunc('month', now(), 'UTC')
        ELSE 'epoch'::timestamptz END
$$;

CREATE FUNCTION budget_ends_at(period text) RETURNS timestamptz LANGUAGE sql STABLE AS $$
    SELECT CASE period
        WHEN 'day' THEN date_trunc('day', now(), 'UTC') + interval '1 day'
        WHEN 'month' THEN (date_trunc('month', now() AT TIME ZONE 'UTC') + interval '1 month')
            AT TIME ZONE 'UTC' END
$$;

-- Every budget that the call falls under, as it stood before. If one that blocks is full, nothing
-- was set aside anywhere; else the amount was, on all of them.
CREATE FUNCTION budget_reserve(
    kinds text[], targets uuid[], organisation uuid, project uuid,
    new_id uuid, run uuid, new_usd numeric, new_tokens bigint, new_calls bigint
) RETURNS TABLE (
    budget_id uuid, scope_kind text, period text, ends_at timestamptz, on_exceed text,
    limit_usd numeric, limit_tokens bigint, limit_calls bigint,
    spent_usd numeric, spent_tokens bigint, spent_calls bigint,
    reserved_usd numeric, reserved_tokens bigint, reserved_calls bigint, is_full boolean
) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    budgets uuid[];
    held bigint[];
    is_refused boolean;
BEGIN
    SELECT array_agg(b.id) INTO budgets FROM budget b
    JOIN unnest(kinds, targets) AS t (kind, id) ON b.target_id = t.id AND b.scope_kind = t.kind
    WHERE b.organisation_id = organisation
      AND (b.project_id IS NULL OR b.project_id = project);
    IF budgets IS NULL THEN
        RETURN;
    END IF;
    INSERT INTO budget_window (budget_id, starts_at)
    SELECT b.id, budget_starts_at(b.period) FROM budget b
    WHERE b.id = ANY(budgets) AND NOT EXISTS (
        SELECT FROM budget_window w
        WHERE w.budget_id = b.id AND w.starts_at = budget_starts_at(b.period)
    )
    ORDER BY b.id
    ON CONFLICT (budget_id, starts_at) DO NOTHING;
    SELECT array_agg(locked.id) INTO held FROM (
        SELECT w.id FROM budget_window w JOIN budget b ON b.id = w.budget_id
        WHERE b.id = ANY(budgets) AND w.starts_at = budget_starts_at(b.period)
        ORDER BY w.id FOR UPDATE OF w
    ) locked;
    RETURN QUERY
    SELECT b.id, b.scope_kind, b.period, budget_ends_at(b.period), b.on_exceed,
        b.limit_usd, b.limit_tokens, b.limit_calls, w.spent_usd, w.spent_tokens, w.spent_calls,
        w.reserved_usd, w.reserved_tokens, w.reserved_calls,
        coalesce(w.spent_usd + w.reserved_usd + new_usd > b.limit_usd, false)
            OR coalesce(w.spent_tokens + w.reserved_tokens + new_tokens > b.limit_tokens, false)
            OR coalesce(w.spent_calls + w.reserved_calls + new_calls > b.limit_calls, false)
    FROM budget_window w JOIN budget b ON b.id = w.budget_id
    WHERE w.id = ANY(held) ORDER BY w.id;
    SELECT bool_or(
        coalesce(w.spent_usd + w.reserved_usd + new_usd > b.limit_usd, false)
            OR coalesce(w.spent_tokens + w.reserved_tokens + new_tokens > b.limit_tokens, false)
            OR coalesce(w.spent_calls + w.reserved_calls + new_calls > b.limit_calls, false)
    ) INTO is_refused
    FROM budget_window w JOIN budget b ON b.id = w.budget_id
    WHERE w.id = ANY(held) AND b.on_exceed <> 'warn';
    IF is_refused THEN
        RETURN;
    END IF;
    UPDATE budget_window w SET
        reserved_usd = w.reserved_usd + new_usd,
        reserved_tokens = w.reserved_tokens + new_tokens,
        reserved_calls = w.reserved_calls + new_calls
    WHERE w.id = ANY(held);
    INSERT INTO reservation (id, run_id, windows, usd, tokens, calls)
    VALUES (new_id, run, to_jsonb(held), new_usd, new_tokens, new_calls);
END $$;

-- Whether the reservation was in one of these states: then what was used replaces what was set aside.
CREATE FUNCTION budget_close(
    closed uuid, new_state text, from_states text[], usage uuid,
    used_usd numeric, used_tokens bigint, used_calls bigint
) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    held reservation;
    was text;
    ids bigint[];
BEGIN
    SELECT * INTO held FROM reservation r WHERE r.id = closed FOR UPDATE;
    IF NOT FOUND OR held.state <> ALL(from_states) THEN
        RETURN false;
    END IF;
    was := held.state;
    UPDATE reservation r SET state = new_state, usage_id = usage WHERE r.id = closed;
    IF was <> 'open' THEN
        held.usd := 0;
        held.tokens := 0;
        held.calls := 0;
    END IF;
    SELECT array_agg(locked.id) INTO ids FROM (
        SELECT w.id FROM budget_window w
        WHERE w.id IN (SELECT value::bigint FROM jsonb_array_elements_text(held.windows))
        ORDER BY w.id FOR UPDATE
    ) locked;
    UPDATE budget_window w SET
        reserved_usd = w.reserved_usd - held.usd,
        reserved_tokens = w.reserved_tokens - held.tokens,
        reserved_calls = w.reserved_calls - held.calls,
        spent_usd = w.spent_usd + used_usd,
        spent_tokens = w.spent_tokens + used_tokens,
        spent_calls = w.spent_calls + used_calls
    WHERE w.id = ANY(ids);
    RETURN true;
END $$;
"""


class Migration(migrations.Migration):
    dependencies = [("governance", "0002_audit_chain")]

    operations = [
        migrations.RunSQL(
            FUNCTIONS,
            "DROP FUNCTION budget_close; DROP FUNCTION budget_reserve;"
            "DROP FUNCTION budget_ends_at; DROP FUNCTION budget_starts_at;",
        )
    ]
