"""Runs fork from a step of another, and loops outside may report runs of their own."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [("orchestration", "0005_triggers")]

    operations = [
        migrations.AddField("run", "forked_at_step", models.TextField(default="", db_default="")),
        migrations.AddField("run", "given_route", models.TextField(default="", db_default="")),
        migrations.AddField("run", "is_dry_run", models.BooleanField(default=False, db_default=False)),
        migrations.AddField("run", "heard_at", models.DateTimeField(null=True)),
        migrations.AddIndex(
            "run",
            models.Index(
                fields=["heard_at"],
                name="run_outside",
                condition=models.Q(status="running", heard_at__isnull=False),
            ),
        ),
    ]
