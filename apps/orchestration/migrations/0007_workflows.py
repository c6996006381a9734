"""Workflows, their versions, and runs of them."""

import django.db.models.deletion
import django.db.models.functions.datetime
import octavo.kernel.ids
from django.conf import settings
from django.db import migrations, models

TABLES = "workflow_version"


def keep_append_only(apps, schema_editor):
    """The role that runs Octavo may add to these tables, and change nothing in them."""
    role = settings.DATABASES["default"]["USER"]
    with schema_editor.connection.cursor() as cursor:
        cursor.execute("SELECT 1 FROM pg_roles WHERE rolname = %s AND rolname <> current_user", [role])
        if cursor.fetchone():
            name = schema_editor.quote_name(role)
            cursor.execute(f"REVOKE UPDATE, DELETE, TRUNCATE ON {TABLES} FROM {name}")


class Migration(migrations.Migration):

    dependencies = [
        ('agents', '0001_initial'),
        ('orchestration', '0006_forks'),
    ]

    operations = [
        migrations.CreateModel(
            name='Workflow',
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
                'db_table': 'workflow',
            },
        ),
        migrations.CreateModel(
            name='WorkflowVersion',
            fields=[
                ('id', models.UUIDField(default=octavo.kernel.ids.new, editable=False, primary_key=True, serialize=False)),
                ('number', models.PositiveIntegerField()),
                ('definition', models.JSONField()),
                ('source', models.TextField(db_default='')),
                ('saved_by', models.TextField()),
                ('created_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
            ],
            options={
                'db_table': 'workflow_version',
            },
        ),
        migrations.RemoveConstraint(
            model_name='run',
            name='run_of_agent_or_tool',
        ),
        migrations.AddField(
            model_name='run',
            name='workflow_id',
            field=models.UUIDField(null=True),
        ),
        migrations.AddField(
            model_name='run',
            name='workflow_name',
            field=models.TextField(db_default='', default=''),
        ),
        migrations.AddConstraint(
            model_name='workflow',
            constraint=models.UniqueConstraint(fields=('project_id', 'name'), name='workflow_name_once'),
        ),
        migrations.AddField(
            model_name='workflowversion',
            name='workflow',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='versions', to='orchestration.workflow'),
        ),
        migrations.AddField(
            model_name='run',
            name='workflow_version',
            field=models.ForeignKey(db_index=False, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='orchestration.workflowversion'),
        ),
        migrations.AddIndex(
            model_name='run',
            index=models.Index(condition=models.Q(('workflow_id__isnull', False)), fields=['workflow_id', '-id'], name='run_of_workflow'),
        ),
        migrations.AddConstraint(
            model_name='run',
            constraint=models.CheckConstraint(condition=models.Q(('agent_id__isnull', False), ('workflow_id__isnull', False), models.Q(('tool', ''), _negated=True), _connector='OR'), name='run_of_agent_workflow_or_tool'),
        ),
        migrations.AddConstraint(
            model_name='workflowversion',
            constraint=models.UniqueConstraint(fields=('workflow', 'number'), name='workflow_version_once'),
        ),
        migrations.RunPython(keep_append_only, migrations.RunPython.noop),
    ]
