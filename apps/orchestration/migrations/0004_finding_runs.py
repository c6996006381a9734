"""Runs are found by any of their facts, served in order within limits, and handled in bulk."""

import django.contrib.postgres.fields
import django.contrib.postgres.indexes
import django.db.models.functions.comparison
import django.db.models.functions.datetime
import django.db.models.functions.text
import octavo.kernel.ids
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('agents', '0001_initial'),
        ('orchestration', '0003_children'),
    ]

    operations = [
        migrations.RunSQL("CREATE EXTENSION IF NOT EXISTS pg_trgm", migrations.RunSQL.noop),
        migrations.CreateModel(
            name='BulkJob',
            fields=[
                ('id', models.UUIDField(default=octavo.kernel.ids.new, primary_key=True, serialize=False)),
                ('organisation_id', models.UUIDField()),
                ('team_id', models.UUIDField()),
                ('project_id', models.UUIDField()),
                ('action', models.TextField()),
                ('wanted', models.JSONField()),
                ('total', models.IntegerField()),
                ('done', models.IntegerField(default=0)),
                ('skipped', models.IntegerField(default=0)),
                ('refused', models.IntegerField(default=0)),
                ('problems', models.JSONField(default=list)),
                ('up_to', models.UUIDField()),
                ('cursor', models.UUIDField(null=True)),
                ('principal_kind', models.TextField()),
                ('principal_id', models.UUIDField()),
                ('principal_name', models.TextField()),
                ('key_id', models.UUIDField(null=True)),
                ('key_scopes', models.JSONField()),
                ('created_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('touched_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('finished_at', models.DateTimeField(null=True)),
            ],
            options={
                'db_table': 'run_bulk_job',
            },
        ),
        migrations.CreateModel(
            name='ConcurrencyLimit',
            fields=[
                ('id', models.UUIDField(default=octavo.kernel.ids.new, primary_key=True, serialize=False)),
                ('project_id', models.UUIDField()),
                ('kind', models.TextField()),
                ('target', models.TextField(default='')),
                ('most', models.IntegerField()),
                ('created_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
            ],
            options={
                'db_table': 'concurrency_limit',
            },
        ),
        migrations.CreateModel(
            name='Worker',
            fields=[
                ('name', models.TextField(primary_key=True, serialize=False)),
                ('held', models.IntegerField()),
                ('threads', models.IntegerField()),
                ('duties', models.JSONField()),
                ('started_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('seen_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
            ],
            options={
                'db_table': 'run_worker',
            },
        ),
        migrations.AddField(
            model_name='run',
            name='priority',
            field=models.SmallIntegerField(db_default=0, default=0),
        ),
        migrations.AddField(
            model_name='run',
            name='rank',
            field=models.DateTimeField(db_default=django.db.models.functions.datetime.Now()),
        ),
        migrations.AddField(
            model_name='run',
            name='retry_of',
            field=models.UUIDField(null=True),
        ),
        migrations.AddField(
            model_name='run',
            name='route',
            field=models.TextField(db_default='', default=''),
        ),
        migrations.AddField(
            model_name='run',
            name='slot_wait',
            field=models.UUIDField(null=True),
        ),
        migrations.AddField(
            model_name='run',
            name='tags',
            field=django.contrib.postgres.fields.ArrayField(base_field=models.TextField(), db_default=[]),
        ),
        migrations.RunSQL(
            # The database writes them, once: with the end of a run.
            """
            ALTER TABLE run
                ADD COLUMN ended_cost_usd numeric(20, 9) GENERATED ALWAYS AS (CASE WHEN finished_at IS NOT NULL THEN cost_usd END) STORED,
                ADD COLUMN ended_ms bigint GENERATED ALWAYS AS ((extract(epoch FROM finished_at - coalesce(started_at, created_at)) * 1000)::bigint) STORED,
                ADD COLUMN error_code text GENERATED ALWAYS AS (error->>'code') STORED
            """,
            "ALTER TABLE run DROP COLUMN ended_cost_usd, DROP COLUMN ended_ms, DROP COLUMN error_code",
            state_operations=[
                migrations.AddField(
                    model_name='run',
                    name='ended_cost_usd',
                    field=models.DecimalField(decimal_places=9, max_digits=20, null=True),
                ),
                migrations.AddField(
                    model_name='run',
                    name='ended_ms',
                    field=models.BigIntegerField(null=True),
                ),
                migrations.AddField(
                    model_name='run',
                    name='error_code',
                    field=models.TextField(null=True),
                ),
            ],
        ),
        migrations.AddIndex(
            model_name='run',
            index=models.Index(condition=models.Q(('retry_of__isnull', False)), fields=['retry_of'], name='run_of_retry'),
        ),
        migrations.AddIndex(
            model_name='run',
            index=models.Index(condition=models.Q(('slot_wait__isnull', True), ('status', 'ready')), fields=['project_id', 'rank'], name='run_next'),
        ),
        migrations.AddIndex(
            model_name='run',
            index=models.Index(condition=models.Q(('finished_at__isnull', True)), fields=['project_id', 'id'], name='run_unfinished'),
        ),
        migrations.AddIndex(
            model_name='run',
            index=models.Index(condition=models.Q(('finished_at__isnull', False)), fields=['project_id', 'id'], include=('status', 'agent_name', 'tool', 'tags', 'ended_cost_usd', 'ended_ms', 'error_code', 'started_by', 'parent_id', 'retry_of', 'created_at'), name='run_finished'),
        ),
        migrations.AddIndex(
            model_name='run',
            index=models.Index(condition=models.Q(('finished_at__isnull', False)), fields=['project_id', 'agent_name', 'id'], name='run_by_agent'),
        ),
        migrations.AddIndex(
            model_name='run',
            index=models.Index(condition=models.Q(('finished_at__isnull', False)), fields=['project_id', 'ended_cost_usd', 'id'], name='run_by_cost'),
        ),
        migrations.AddIndex(
            model_name='run',
            index=models.Index(condition=models.Q(('finished_at__isnull', False)), fields=['project_id', 'ended_ms', 'id'], name='run_by_time'),
        ),
        migrations.AddIndex(
            model_name='run',
            index=models.Index(condition=models.Q(('finished_at__isnull', False)), fields=['project_id', 'started_by', 'id'], name='run_by_starter'),
        ),
        migrations.AddIndex(
            model_name='run',
            index=models.Index(condition=models.Q(('error_code__isnull', False)), fields=['project_id', 'error_code', 'id'], name='run_by_error'),
        ),
        migrations.AddIndex(
            model_name='run',
            index=models.Index(condition=models.Q(('finished_at__isnull', False), models.Q(('status', 'done'), _negated=True)), fields=['project_id', 'status', 'id'], name='run_by_trouble'),
        ),
        migrations.AddIndex(
            model_name='run',
            index=models.Index(models.F('project_id'), django.db.models.functions.text.Left('session', 200), models.F('id'), condition=models.Q(('session', ''), _negated=True), name='run_of_session'),
        ),
        migrations.AddIndex(
            model_name='run',
            index=django.contrib.postgres.indexes.GinIndex(django.contrib.postgres.indexes.OpClass(models.F('metadata'), 'jsonb_path_ops'), django.contrib.postgres.indexes.OpClass(models.F('tags'), 'array_ops'), condition=models.Q(('finished_at__isnull', False)), name='run_labels'),
        ),
        migrations.AddIndex(
            model_name='run',
            index=django.contrib.postgres.indexes.GinIndex(django.contrib.postgres.indexes.OpClass(django.db.models.functions.text.Left(django.db.models.functions.comparison.Cast('input', models.TextField()), 1000), 'gin_trgm_ops'), condition=models.Q(('finished_at__isnull', False)), name='run_text'),
        ),
        migrations.AddIndex(
            model_name='bulkjob',
            index=models.Index(fields=['project_id', '-id'], name='run_bulk_job_newest'),
        ),
        migrations.AddIndex(
            model_name='bulkjob',
            index=models.Index(condition=models.Q(('finished_at__isnull', True)), fields=['touched_at'], name='run_bulk_job_open'),
        ),
        migrations.AddConstraint(
            model_name='concurrencylimit',
            constraint=models.UniqueConstraint(fields=('project_id', 'kind', 'target'), name='concurrency_limit_once'),
        ),
        migrations.AddConstraint(
            model_name='concurrencylimit',
            constraint=models.CheckConstraint(condition=models.Q(('most__gte', 1)), name='concurrency_limit_some'),
        ),
    ]
