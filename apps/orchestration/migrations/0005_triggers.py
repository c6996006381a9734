"""What starts runs by itself: triggers, their firings, and which of them a run comes from."""

import django.db.models.deletion
from django.db import migrations, models
from django.db.models.functions import Now

import octavo.kernel.ids
import octavo.kernel.secrets


class Migration(migrations.Migration):

    dependencies = [("orchestration", "0004_finding_runs"), ("kernel", "0002_kept_events")]

    operations = [
        migrations.CreateModel(
            name="Trigger",
            fields=[
                ("id", models.UUIDField(default=octavo.kernel.ids.new, primary_key=True, serialize=False)),
                ("organisation_id", models.UUIDField()),
                ("team_id", models.UUIDField()),
                ("project_id", models.UUIDField()),
                ("kind", models.TextField()),
                ("name", models.TextField(db_default="", default="")),
                ("agent", models.TextField()),
                ("settings", models.JSONField()),
                ("next_due_at", models.DateTimeField(null=True)),
                ("token_hash", models.BinaryField(null=True, unique=True)),
                ("secret", octavo.kernel.secrets.EncryptedField(db_default="", default="")),
                ("old_secret", octavo.kernel.secrets.EncryptedField(db_default="", default="")),
                ("old_secret_until", models.DateTimeField(null=True)),
                ("owner_kind", models.TextField()),
                ("owner_id", models.UUIDField()),
                ("owner_name", models.TextField()),
                ("key_id", models.UUIDField(null=True)),
                ("key_scopes", models.JSONField()),
                ("paused_at", models.DateTimeField(null=True)),
                ("created_at", models.DateTimeField(db_default=Now())),
                ("updated_at", models.DateTimeField(db_default=Now())),
            ],
            options={
                "db_table": "run_trigger",
                "indexes": [
                    models.Index(fields=["project_id", "kind", "-id"], name="run_trigger_project"),
                    models.Index(
                        fields=["next_due_at"],
                        name="run_trigger_due",
                        condition=models.Q(next_due_at__isnull=False),
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="Firing",
            fields=[
                ("id", models.UUIDField(default=octavo.kernel.ids.new, primary_key=True, serialize=False)),
                (
                    "trigger",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="firings",
                        to="orchestration.trigger",
                    ),
                ),
                ("dedupe_key", models.TextField(null=True)),
                ("due_at", models.DateTimeField()),
                ("outcome", models.TextField()),
                ("reason", models.TextField(db_default="", default="")),
                ("run_id", models.UUIDField(null=True)),
                ("at", models.DateTimeField(db_default=Now())),
            ],
            options={
                "db_table": "trigger_firing",
                "constraints": [
                    models.UniqueConstraint(fields=["trigger", "dedupe_key"], name="trigger_fires_once")
                ],
                "indexes": [
                    models.Index(fields=["trigger", "-id"], name="trigger_firing_newest"),
                    models.Index(fields=["trigger", "outcome", "at"], name="trigger_firing_rate"),
                    models.Index(fields=["at"], name="trigger_firing_at"),
                    models.Index(
                        fields=["id"],
                        name="trigger_firing_queued",
                        condition=models.Q(outcome="queued"),
                    ),
                ],
            },
        ),
        migrations.AddField("run", "chain_depth", models.SmallIntegerField(db_default=0, default=0)),
        migrations.AddField("run", "triggered_by", models.TextField(db_default="", default="")),
        migrations.AddIndex(
            "run",
            models.Index(
                fields=["triggered_by", "-id"],
                name="run_of_trigger",
                condition=~models.Q(triggered_by=""),
            ),
        ),
        migrations.AddIndex(
            "run",
            models.Index(
                fields=["triggered_by"],
                name="run_of_trigger_live",
                condition=models.Q(status__in=("ready", "running", "waiting"))
                & ~models.Q(triggered_by=""),
            ),
        ),
    ]
