"""The audit chain is the database's work: a trigger links and hashes, others refuse every change.

The trigger runs as the owner, so the role that runs Octavo needs (and has) no right to the heads.
"""

from django.conf import settings
from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.state import StateApps

FUNCTIONS = """
CREATE FUNCTION audit_hash(
    prev bytea, organisation uuid, seq bigint, at timestamptz, project uuid, actor_id uuid,
    actor text, action text, target text, outcome text, payload jsonb
) RETURNS bytea LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog AS $$
    SELECT sha256(prev || convert_to(jsonb_build_array(
        organisation, seq, extract(epoch FROM at), project, actor_id, actor, action, target,
        outcome, payload
    )::text, 'UTF8'))
$$;

CREATE FUNCTION audit_link() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, public AS $$
DECLARE head audit_head;
BEGIN
    SELECT * INTO head FROM audit_head WHERE organisation_id = NEW.organisation_id FOR UPDATE;
    IF NOT FOUND THEN
        INSERT INTO audit_head (organisation_id, seq, hash)
        VALUES (NEW.organisation_id, 0, '') ON CONFLICT DO NOTHING;
        SELECT * INTO head FROM audit_head WHERE organisation_id = NEW.organisation_id FOR UPDATE;
    END IF;
    NEW.seq := head.seq + 1;
    NEW.at := clock_timestamp();
    NEW.prev_hash := head.hash;
    NEW.hash := audit_hash(
        NEW.prev_hash, NEW.organisation_id, NEW.seq, NEW.at, NEW.project_id, NEW.actor_id,
        NEW.actor, NEW.action, NEW.target, NEW.outcome, NEW.payload
    );
    UPDATE audit_head SET seq = NEW.seq, hash = NEW.hash
    WHERE organisation_id = NEW.organisation_id;
    RETURN NEW;
END $$;

CREATE FUNCTION audit_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only: % is refused.', TG_TABLE_NAME, TG_OP
        USING ERRCODE = 'insufficient_privilege';
END $$;

CREATE TRIGGER audit_link BEFORE INSERT ON audit_entry
    FOR EACH ROW EXECUTE FUNCTION audit_link();
CREATE TRIGGER audit_refuse_change BEFORE UPDATE OR DELETE ON audit_entry
    FOR EACH ROW EXECUTE FUNCTION audit_refuse();
CREATE TRIGGER audit_refuse_truncate BEFORE TRUNCATE ON audit_entry
    FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse();
CREATE TRIGGER audit_head_refuse_delete BEFORE DELETE ON audit_head
    FOR EACH ROW EXECUTE FUNCTION audit_refuse();
CREATE TRIGGER audit_head_refuse_truncate BEFORE TRUNCATE ON audit_head
    FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse();
CREATE TRIGGER policy_bundle_refuse_change BEFORE UPDATE OR DELETE ON policy_bundle
    FOR EACH ROW EXECUTE FUNCTION audit_refuse();
"""


def take_back_grants(apps: StateApps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    role = settings.DATABASES["default"]["USER"]
    with schema_editor.connection.cursor() as cursor:
        cursor.execute("SELECT 1 FROM pg_roles WHERE rolname = %s AND rolname <> current_user", [role])
        if cursor.fetchone() is None:
            return
        name = schema_editor.quote_name(role)
        for statement in (
            f"REVOKE UPDATE, DELETE, TRUNCATE ON audit_entry, policy_bundle FROM {name}",
            f"REVOKE INSERT, UPDATE, DELETE, TRUNCATE ON audit_head FROM {name}",
            f"REVOKE UPDATE, TRUNCATE ON decision FROM {name}",
        ):
            cursor.execute(statement)


class Migration(migrations.Migration):
    dependencies = [("governance", "0001_initial")]

    operations = [
        migrations.RunSQL(FUNCTIONS, migrations.RunSQL.noop),
        migrations.RunPython(take_back_grants, migrations.RunPython.noop),
    ]
