"""Decisions, budgets, approvals, audit chain. Principals and resources are plain ids here.

The audit tables are written by their trigger alone, whatever the application does.
"""

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from apps.governance.types import ApprovalStatus, OnExceed
from octavo.kernel import ids


class PolicyBundle(models.Model):
    """The text behind a bundle hash; a row is never changed."""

    sha256 = models.CharField(primary_key=True, max_length=64)
    policies = models.TextField()
    schema = models.TextField()
    activated_at = models.DateTimeField(db_default=Now())

    class Meta:
        db_table = "policy_bundle"


class DecisionRow(models.Model):
    """One answer of the decision point, allowed or not. No tenant given: null."""

    id = models.UUIDField(primary_key=True, default=ids.new)
    organisation_id = models.UUIDField(null=True)
    project_id = models.UUIDField(null=True)
    run_id = models.UUIDField(null=True)
    step = models.TextField()
    principal_kind = models.TextField()
    principal_id = models.UUIDField()
    principal_name = models.TextField()
    action = models.TextField()
    resource_kind = models.TextField()
    resource_id = models.UUIDField()
    resource_name = models.TextField()
    outcome = models.TextField()
    policies = models.JSONField()
    facts = models.JSONField()
    bundle = models.CharField(max_length=64)
    explain = models.TextField()
    at = models.DateTimeField(db_default=Now())

    class Meta:
        db_table = "decision"
        indexes = [
            models.Index(
                fields=["run_id", "id"], condition=Q(run_id__isnull=False), name="decision_run"
            ),
            models.Index(fields=["project_id", "-id"], name="decision_project"),
        ]


class Budget(models.Model):
    """A limit on one organisation, team, project, agent, key or run. A null limit does not bind.

    The project is null for organisations and teams, which span projects.
    """

    id = models.UUIDField(primary_key=True, default=ids.new)
    organisation_id = models.UUIDField()
    project_id = models.UUIDField(null=True)
    scope_kind = models.TextField()
    target_id = models.UUIDField()
    period = models.TextField()
    limit_usd = models.DecimalField(max_digits=18, decimal_places=9, null=True)
    limit_tokens = models.BigIntegerField(null=True)
    limit_calls = models.BigIntegerField(null=True)
    on_exceed = models.TextField(default=OnExceed.BLOCK)
    created_at = models.DateTimeField(db_default=Now())
    updated_at = models.DateTimeField(db_default=Now())

    class Meta:
        db_table = "budget"
        constraints = [
            models.UniqueConstraint(
                fields=["target_id", "scope_kind", "period", "organisation_id", "project_id"],
                nulls_distinct=False,
                name="budget_once",
            )
        ]
        indexes = [models.Index(fields=["organisation_id", "project_id"], name="budget_ground")]


class BudgetWindow(models.Model):
    """What one period of a budget has spent and set aside. Counters move by single updates."""

    id = models.BigAutoField(primary_key=True)
    budget = models.ForeignKey(Budget, on_delete=models.CASCADE, db_index=False)
    starts_at = models.DateTimeField()
    reserved_usd = models.DecimalField(max_digits=18, decimal_places=9, db_default=0)
    spent_usd = models.DecimalField(max_digits=18, decimal_places=9, db_default=0)
    reserved_tokens = models.BigIntegerField(db_default=0)
    spent_tokens = models.BigIntegerField(db_default=0)
    reserved_calls = models.BigIntegerField(db_default=0)
    spent_calls = models.BigIntegerField(db_default=0)

    class Meta:
        db_table = "budget_window"
        constraints = [
            models.UniqueConstraint(fields=["budget", "starts_at"], name="budget_window_once")
        ]


class ReservationRow(models.Model):
    """What one call set aside, and the ids of the windows it did so on.

    State: open → settled, open → released, and released → settled when a call ends very late.
    """

    id = models.UUIDField(primary_key=True, default=ids.new)
    run_id = models.UUIDField(null=True)
    windows = models.JSONField()
    usd = models.DecimalField(max_digits=18, decimal_places=9)
    tokens = models.BigIntegerField()
    calls = models.BigIntegerField()
    state = models.TextField(db_default="open")
    usage_id = models.UUIDField(null=True)
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        db_table = "reservation"
        indexes = [
            models.Index(fields=["created_at"], condition=Q(state="open"), name="reservation_open")
        ]


class ApprovalRow(models.Model):
    """A call that waits for a person. Leaves `pending` once, by compare-and-set."""

    id = models.UUIDField(primary_key=True, default=ids.new)
    organisation_id = models.UUIDField()
    team_id = models.UUIDField()
    project_id = models.UUIDField()
    run_id = models.UUIDField()
    step = models.TextField()
    tool = models.TextField()
    arguments = models.JSONField()
    requested_hash = models.CharField(max_length=64)
    action_hash = models.CharField(max_length=64)
    policy = models.TextField()
    bundle = models.CharField(max_length=64)
    requested_by_id = models.UUIDField()
    requested_by = models.TextField()
    requested_at = models.DateTimeField(db_default=Now())
    expires_at = models.DateTimeField()
    status = models.TextField(default=ApprovalStatus.PENDING)
    decided_by_id = models.UUIDField(null=True)
    decided_by = models.TextField(null=True)  # noqa: DJ001  null until decided
    decided_at = models.DateTimeField(null=True)
    note = models.TextField(default="")

    class Meta:
        db_table = "approval"
        constraints = [
            models.UniqueConstraint(
                fields=["run_id", "step", "requested_hash"], name="approval_once"
            )
        ]
        indexes = [
            models.Index(fields=["project_id", "-id"], name="approval_project"),
            models.Index(
                fields=["expires_at"], condition=Q(status="pending"), name="approval_pending"
            ),
        ]


class AuditHead(models.Model):
    """The last entry of each organisation's chain; locked while an entry is appended."""

    organisation_id = models.UUIDField(primary_key=True)
    seq = models.BigIntegerField()
    hash = models.BinaryField()

    class Meta:
        db_table = "audit_head"


class AuditRow(models.Model):
    """One link. The trigger sets `seq`, `at`, `prev_hash` and `hash`, whatever is inserted."""

    pk = models.CompositePrimaryKey("organisation_id", "seq")
    organisation_id = models.UUIDField()
    seq = models.BigIntegerField()
    at = models.DateTimeField()
    project_id = models.UUIDField()
    actor_id = models.UUIDField()
    actor = models.TextField()
    action = models.TextField()
    target = models.TextField()
    outcome = models.TextField()
    payload = models.JSONField()
    prev_hash = models.BinaryField()
    hash = models.BinaryField()

    class Meta:
        db_table = "audit_entry"
