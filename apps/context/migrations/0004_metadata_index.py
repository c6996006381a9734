"""Filters on metadata find their revisions by an index."""

from django.contrib.postgres.indexes import GinIndex
from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("context", "0003_versions")]

    operations = [
        migrations.AddIndex(
            "revision",
            GinIndex(fields=["metadata"], opclasses=["jsonb_path_ops"], name="revision_metadata"),
        ),
    ]
