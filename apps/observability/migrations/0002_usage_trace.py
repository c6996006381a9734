"""A call outside a run is a trace of its own, or a span in its caller's."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("observability", "0001_initial")]

    operations = [
        migrations.AddField("usage", "trace_id", models.UUIDField(null=True)),
        migrations.AddField("usage", "parent_id", models.TextField(default="", db_default="")),
        migrations.AddField("usage", "decision_id", models.UUIDField(null=True)),
        migrations.AddIndex(
            "usage",
            models.Index(
                fields=["trace_id"],
                name="usage_trace",
                condition=models.Q(run_id__isnull=True, trace_id__isnull=False),
            ),
        ),
        migrations.AddIndex(
            "usage",
            models.Index(fields=["project_id", "started_at"], name="usage_project_time"),
        ),
    ]
