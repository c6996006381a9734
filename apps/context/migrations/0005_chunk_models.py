"""Which chunks of a space have vectors of another model is read from an index."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("context", "0004_metadata_index")]

    operations = [
        migrations.RunSQL(
            """
            CREATE INDEX chunk_space_model ON chunk (space_id, model_id) WHERE died IS NULL;
            DROP INDEX chunk_space;
            """,
            """
            CREATE INDEX chunk_space ON chunk (space_id) WHERE died IS NULL;
            DROP INDEX chunk_space_model;
            """,
        ),
    ]
