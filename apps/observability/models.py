"""One row for each settled model call; it outlives the run, route and model that it names."""

from django.db import models

from octavo.kernel import ids


class Usage(models.Model):
    """Tenant and names are plain values, not references: what was spent stays spent."""

    id = models.UUIDField(primary_key=True, default=ids.new)
    organisation_id = models.UUIDField()
    team_id = models.UUIDField()
    project_id = models.UUIDField()
    principal_kind = models.TextField()
    principal_id = models.UUIDField()
    key_id = models.UUIDField(null=True)
    run_id = models.UUIDField(null=True)
    step = models.TextField()
    route = models.TextField()
    provider = models.TextField()
    model = models.TextField()
    kind = models.TextField()
    input_tokens = models.PositiveIntegerField()
    output_tokens = models.PositiveIntegerField()
    cost_usd = models.DecimalField(max_digits=20, decimal_places=9)
    status = models.TextField()
    started_at = models.DateTimeField()
    ended_at = models.DateTimeField()
    trace_id = models.UUIDField(null=True)
    parent_id = models.TextField(default="", db_default="")
    decision_id = models.UUIDField(null=True)

    class Meta:
        db_table = "usage"
        indexes = [
            models.Index(
                fields=["run_id"], name="usage_run", condition=models.Q(run_id__isnull=False)
            ),
            models.Index(fields=["organisation_id", "started_at"], name="usage_organisation_time"),
            models.Index(
                fields=["trace_id"],
                name="usage_trace",
                condition=models.Q(run_id__isnull=True, trace_id__isnull=False),
            ),
            models.Index(fields=["project_id", "started_at"], name="usage_project_time"),
        ]
