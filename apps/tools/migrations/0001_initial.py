"""The effect ledger."""

import django.db.models.functions.datetime
from django.db import migrations, models


class Migration(migrations.Migration):

    initial = True

    dependencies = [("kernel", "0001_initial")]

    operations = [
        migrations.CreateModel(
            name='Effect',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('run_id', models.UUIDField()),
                ('step', models.TextField()),
                ('tool', models.TextField()),
                ('idempotency_key', models.TextField()),
                ('state', models.TextField(choices=[('intent', 'intent'), ('done', 'done'), ('unknown', 'unknown')])),
                ('created_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('changed_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
            ],
            options={
                'db_table': 'effect',
                'constraints': [models.UniqueConstraint(fields=('run_id', 'step'), name='effect_once_per_step'), models.CheckConstraint(condition=models.Q(('state__in', ['intent', 'done', 'unknown'])), name='effect_state_known')],
            },
        ),
    ]
