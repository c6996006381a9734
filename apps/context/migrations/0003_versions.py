"""Revisions know their space, sources and times; snapshots, branches, and what expires."""

from typing import Any

import django.db.models.deletion
from django.db import migrations, models
from django.db.models.functions import Now

BACKFILL = """
UPDATE revision SET space_id = entry.space_id, kind = entry.kind FROM entry WHERE entry.id = revision.entry_id;
SET CONSTRAINTS ALL IMMEDIATE;
SET CONSTRAINTS ALL DEFERRED;
"""


def _later(on: str, **options: Any) -> Any:
    return models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name="+", to=on, **options)


class Migration(migrations.Migration):
    dependencies = [("context", "0002_search")]

    operations = [
        migrations.AddField("space", "parent", _later("context.space", null=True)),
        migrations.AddField("space", "base_seq", models.BigIntegerField(null=True)),
        migrations.AddField("space", "merged_at", models.DateTimeField(null=True)),
        migrations.AddField("entry", "expires_at", models.DateTimeField(null=True)),
        migrations.AddField("revision", "space", _later("context.space", null=True, db_index=False)),
        migrations.AddField("revision", "restores", models.IntegerField(null=True)),
        migrations.AddField("revision", "kind", models.TextField(default="document")),
        migrations.AddField("revision", "sources", models.JSONField(default=list)),
        migrations.AddField("revision", "valid_from", models.DateTimeField(null=True)),
        migrations.AddField("revision", "valid_to", models.DateTimeField(null=True)),
        migrations.AddField("revision", "expires_at", models.DateTimeField(null=True)),
        migrations.RunSQL(BACKFILL, migrations.RunSQL.noop),
        migrations.AlterField("revision", "space", _later("context.space", db_index=False)),
        migrations.AddField("blob", "context", models.TextField(default="", db_default="")),
        migrations.CreateModel(
            "Snapshot",
            [
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("name", models.TextField()),
                ("seq", models.BigIntegerField()),
                ("author_name", models.TextField()),
                ("created_at", models.DateTimeField(db_default=Now())),
                (
                    "space",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="snapshots",
                        to="context.space",
                    ),
                ),
            ],
            options={
                "db_table": "snapshot",
                "constraints": [models.UniqueConstraint(fields=("space", "name"), name="snapshot_name_once")],
            },
        ),
        migrations.AddIndex(
            "entry",
            models.Index(
                fields=["expires_at"],
                name="entry_expiring",
                condition=models.Q(("expires_at__isnull", False), ("is_deleted", False)),
            ),
        ),
        migrations.AddIndex("revision", models.Index(fields=["space", "seq"], name="revision_space_seq")),
        migrations.AddIndex(
            "revision", models.Index(fields=["space", "created_at", "seq"], name="revision_space_time")
        ),
        migrations.AddIndex("readlog", models.Index(fields=["entry_id", "-id"], name="read_log_entry")),
    ]
