"""Runs have children: found by their parent, counted by their root, bounded in depth."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [("orchestration", "0002_tool_calls")]

    operations = [
        migrations.AddField("run", "depth", models.SmallIntegerField(default=0, db_default=0)),
        migrations.AddIndex(
            "run",
            models.Index(
                fields=["parent_id"],
                name="run_of_parent",
                condition=models.Q(parent_id__isnull=False),
            ),
        ),
        migrations.AddIndex(
            "run",
            models.Index(
                fields=["root_id"],
                name="run_of_root",
                condition=models.Q(parent_id__isnull=False),
            ),
        ),
    ]
