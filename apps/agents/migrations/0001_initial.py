"""Agents and their versions."""

import django.db.models.deletion
import django.db.models.functions.datetime
import octavo.kernel.ids
from django.conf import settings
from django.db import migrations, models

TABLES = "agent_version"


def keep_append_only(apps, schema_editor):
    """The role that runs Octavo may add to these tables, and change nothing in them."""
    role = settings.DATABASES["default"]["USER"]
    with schema_editor.connection.cursor() as cursor:
        cursor.execute("SELECT 1 FROM pg_roles WHERE rolname = %s AND rolname <> current_user", [role])
        if cursor.fetchone():
            name = schema_editor.quote_name(role)
            cursor.execute(f"REVOKE UPDATE, DELETE, TRUNCATE ON {TABLES} FROM {name}")


class Migration(migrations.Migration):

    initial = True

    dependencies = [("kernel", "0001_initial")]

    operations = [
        migrations.CreateModel(
            name='Agent',
            fields=[
                ('id', models.UUIDField(default=octavo.kernel.ids.new, editable=False, primary_key=True, serialize=False)),
                ('organisation_id', models.UUIDField()),
                ('team_id', models.UUIDField()),
                ('project_id', models.UUIDField()),
                ('name', models.TextField()),
                ('head', models.PositiveIntegerField()),
                ('created_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
            ],
            options={
                'db_table': 'agent',
                'constraints': [models.UniqueConstraint(fields=('project_id', 'name'), name='agent_name_once')],
            },
        ),
        migrations.CreateModel(
            name='AgentVersion',
            fields=[
                ('id', models.UUIDField(default=octavo.kernel.ids.new, editable=False, primary_key=True, serialize=False)),
                ('number', models.PositiveIntegerField()),
                ('definition', models.JSONField()),
                ('saved_by', models.TextField()),
                ('created_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('agent', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='versions', to='agents.agent')),
            ],
            options={
                'db_table': 'agent_version',
                'constraints': [models.UniqueConstraint(fields=('agent', 'number'), name='agent_version_once')],
            },
        ),
        migrations.RunPython(keep_append_only, migrations.RunPython.noop),
    ]
