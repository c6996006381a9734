"""Agents and their versions. A version is never changed or removed: runs are pinned to it."""

from django.db import models
from django.db.models.functions import Now

from octavo.kernel import ids


class Agent(models.Model):
    """A name in a project; `head` is the number of its newest version."""

    id = models.UUIDField(primary_key=True, default=ids.new, editable=False)
    organisation_id = models.UUIDField()
    team_id = models.UUIDField()
    project_id = models.UUIDField()
    name = models.TextField()
    head = models.PositiveIntegerField()
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        db_table = "agent"
        constraints = [
            models.UniqueConstraint(fields=["project_id", "name"], name="agent_name_once")
        ]


class AgentVersion(models.Model):
    """One definition, as it was saved and by whom. Append-only."""

    id = models.UUIDField(primary_key=True, default=ids.new, editable=False)
    agent = models.ForeignKey(Agent, on_delete=models.PROTECT, related_name="versions")
    number = models.PositiveIntegerField()
    definition = models.JSONField()
    saved_by = models.TextField()
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        db_table = "agent_version"
        constraints = [
            models.UniqueConstraint(fields=["agent", "number"], name="agent_version_once")
        ]
