"""A run may be one tool call that no agent makes: its principal is whoever called."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ("agents", "0001_initial"),
        ("orchestration", "0001_initial"),
    ]

    operations = [
        migrations.AlterField("run", "agent_id", models.UUIDField(null=True)),
        migrations.AlterField("run", "agent_name", models.TextField(default="", db_default="")),
        migrations.AlterField("run", "version", models.PositiveIntegerField(null=True)),
        migrations.AlterField(
            "run",
            "agent_version",
            models.ForeignKey(
                db_index=False,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="agents.agentversion",
            ),
        ),
        migrations.AddField("run", "tool", models.TextField(default="", db_default="")),
        migrations.AddField("run", "starter_kind", models.TextField(default="", db_default="")),
        migrations.AddField("run", "key_scopes", models.JSONField(null=True)),
        migrations.AddField("run", "is_autonomous", models.BooleanField(default=False, db_default=False)),
        migrations.AddConstraint(
            "run",
            models.CheckConstraint(
                condition=models.Q(agent_id__isnull=False) | ~models.Q(tool=""),
                name="run_of_agent_or_tool",
            ),
        ),
    ]
