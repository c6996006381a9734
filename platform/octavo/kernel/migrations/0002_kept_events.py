"""Events that are kept until their subscriber has dealt with them."""

from django.db import migrations, models
from django.db.models.functions import Now


class Migration(migrations.Migration):

    dependencies = [("kernel", "0001_initial")]

    operations = [
        migrations.CreateModel(
            name="KeptEvent",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("name", models.TextField()),
                ("args", models.JSONField()),
                ("at", models.DateTimeField(db_default=Now())),
            ],
            options={"db_table": "kept_event"},
        ),
    ]
