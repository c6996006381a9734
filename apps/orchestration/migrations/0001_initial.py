"""The journal: runs, events, content, mail, timers."""

import django.db.models.deletion
import django.db.models.functions.datetime
from django.conf import settings
from django.db import migrations, models

TABLES = "event, run_blob, mail"


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

    dependencies = [
        ("kernel", "0001_initial"),
        ('agents', '0001_initial'),
    ]

    operations = [
        migrations.CreateModel(
            name='Blob',
            fields=[
                ('pk', models.CompositePrimaryKey('organisation_id', 'sha256', blank=True, editable=False, primary_key=True, serialize=False)),
                ('organisation_id', models.UUIDField()),
                ('sha256', models.BinaryField()),
                ('body', models.BinaryField()),
            ],
            options={
                'db_table': 'run_blob',
            },
        ),
        migrations.CreateModel(
            name='Event',
            fields=[
                ('pk', models.CompositePrimaryKey('run_id', 'seq', blank=True, editable=False, primary_key=True, serialize=False)),
                ('run_id', models.UUIDField()),
                ('seq', models.IntegerField()),
                ('type', models.TextField()),
                ('step', models.TextField()),
                ('attempt', models.SmallIntegerField(db_default=1)),
                ('fence', models.BigIntegerField()),
                ('started_at', models.DateTimeField()),
                ('at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('data', models.JSONField()),
                ('input_tokens', models.IntegerField(db_default=0)),
                ('output_tokens', models.IntegerField(db_default=0)),
                ('cost_usd', models.DecimalField(db_default=0, decimal_places=9, max_digits=20)),
            ],
            options={
                'db_table': 'event',
                'constraints': [models.UniqueConstraint(condition=models.Q(('type__in', ('context_retrieved', 'model_answered', 'tool_answered'))), fields=('run_id', 'step'), name='event_one_result_a_step')],
            },
        ),
        migrations.CreateModel(
            name='Mail',
            fields=[
                ('pk', models.CompositePrimaryKey('run_id', 'seq', blank=True, editable=False, primary_key=True, serialize=False)),
                ('run_id', models.UUIDField()),
                ('seq', models.IntegerField()),
                ('kind', models.TextField()),
                ('body', models.JSONField()),
                ('dedupe_key', models.TextField()),
                ('at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
            ],
            options={
                'db_table': 'mail',
                'constraints': [models.UniqueConstraint(fields=('run_id', 'dedupe_key'), name='mail_arrives_once')],
            },
        ),
        migrations.CreateModel(
            name='Timer',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('run_id', models.UUIDField()),
                ('key', models.TextField()),
                ('fire_at', models.DateTimeField()),
                ('fired_at', models.DateTimeField(null=True)),
            ],
            options={
                'db_table': 'timer',
                'indexes': [models.Index(condition=models.Q(('fired_at__isnull', True)), fields=['fire_at'], name='timer_due')],
                'constraints': [models.UniqueConstraint(fields=('run_id', 'key'), name='timer_once')],
            },
        ),
        migrations.CreateModel(
            name='Run',
            fields=[
                ('id', models.UUIDField(primary_key=True, serialize=False)),
                ('organisation_id', models.UUIDField()),
                ('team_id', models.UUIDField()),
                ('project_id', models.UUIDField()),
                ('agent_id', models.UUIDField()),
                ('agent_name', models.TextField()),
                ('version', models.PositiveIntegerField()),
                ('strategy', models.TextField()),
                ('root_id', models.UUIDField()),
                ('parent_id', models.UUIDField(null=True)),
                ('parent_key', models.TextField(db_default='', default='')),
                ('forked_from', models.UUIDField(null=True)),
                ('forked_at_seq', models.IntegerField(null=True)),
                ('status', models.TextField()),
                ('fence', models.BigIntegerField(db_default=0)),
                ('owner', models.TextField(null=True)),
                ('lease_until', models.DateTimeField(null=True)),
                ('next_seq', models.IntegerField(db_default=1)),
                ('mail_seq', models.IntegerField(db_default=0)),
                ('read_seq', models.IntegerField(db_default=0)),
                ('woken', models.BooleanField(db_default=False)),
                ('crashes', models.SmallIntegerField(db_default=0)),
                ('hints', models.SmallIntegerField(db_default=0)),
                ('hinted_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('cancel_requested', models.BooleanField(db_default=False)),
                ('deadline_at', models.DateTimeField(null=True)),
                ('steps', models.IntegerField(db_default=0)),
                ('input_tokens', models.BigIntegerField(db_default=0)),
                ('output_tokens', models.BigIntegerField(db_default=0)),
                ('cost_usd', models.DecimalField(db_default=0, decimal_places=9, max_digits=20)),
                ('input', models.JSONField()),
                ('output', models.JSONField(null=True)),
                ('error', models.JSONField(null=True)),
                ('waiting_on', models.JSONField(null=True)),
                ('started_by', models.TextField()),
                ('starter_id', models.UUIDField()),
                ('key_id', models.UUIDField(null=True)),
                ('session', models.TextField(db_default='')),
                ('metadata', models.JSONField()),
                ('traceparent', models.TextField(db_default='')),
                ('created_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('started_at', models.DateTimeField(null=True)),
                ('finished_at', models.DateTimeField(null=True)),
                ('agent_version', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='agents.agentversion')),
            ],
            options={
                'db_table': 'run',
                'indexes': [models.Index(fields=['project_id', '-id'], name='run_newest'), models.Index(condition=models.Q(('status', 'ready')), fields=['id'], name='run_ready'), models.Index(condition=models.Q(('status', 'running')), fields=['id'], name='run_live'), models.Index(condition=models.Q(('status', 'waiting')), fields=['id'], name='run_waiting')],
                'constraints': [models.CheckConstraint(condition=models.Q(('status__in', ('ready', 'running', 'waiting', 'done', 'failed', 'cancelled', 'quarantined'))), name='run_status_known')],
            },
        ),
        migrations.RunSQL(
            # Room on each page for heap-only updates: a run's row moves with every event.
            "ALTER TABLE run SET (fillfactor = 70)",
            migrations.RunSQL.noop,
        ),
        migrations.RunPython(keep_append_only, migrations.RunPython.noop),
    ]
