"""The journal's tables, whose rows are written by `journal`, `inbox` and `recovery` alone and never
by ORM, and the workflows that runs are pinned to.

`run` is the only row of the journal that moves; everything else is appended.
"""

from django.db import models
from django.db.models.functions import Now

from octavo.kernel import ids

STATUSES = ("ready", "running", "waiting", "done", "failed", "cancelled", "quarantined")
FINAL = ("done", "failed", "cancelled", "quarantined")
STEP_RESULTS = ("context_retrieved", "model_answered", "tool_answered")


class Run(models.Model):
    """One durable run, of an agent, of a workflow or of one tool call (`tool`). The principal of
    the latter two is the starter.

    `fence` grows with every claim; only its holder may append.

    `next_seq` is the journal's head, `mail_seq` the inbox's, `read_seq` how far the inbox was read.
    `key_id` is the API key that started it: its budgets bind the run, and `key_scopes` a tool call.
    `crashes` counts lost leases since the last append. `lease_until` must stay without an index:
    that keeps appends heap-only.
    """

    id = models.UUIDField(primary_key=True)
    organisation_id = models.UUIDField()
    team_id = models.UUIDField()
    project_id = models.UUIDField()
    agent_id = models.UUIDField(null=True)
    agent_name = models.TextField(default="", db_default="")
    agent_version = models.ForeignKey(
        "agents.AgentVersion",
        on_delete=models.PROTECT,
        null=True,
        db_index=False,
        related_name="+",
    )
    version = models.PositiveIntegerField(null=True)
    workflow_id = models.UUIDField(null=True)
    workflow_name = models.TextField(default="", db_default="")
    workflow_version = models.ForeignKey(
        "orchestration.WorkflowVersion",
        on_delete=models.PROTECT,
        null=True,
        db_index=False,
        related_name="+",
    )
    tool = models.TextField(default="", db_default="")
    strategy = models.TextField()
    root_id = models.UUIDField()
    parent_id = models.UUIDField(null=True)
    parent_key = models.TextField(default="", db_default="")
    depth = models.SmallIntegerField(default=0, db_default=0)
    forked_from = models.UUIDField(null=True)
    forked_at_seq = models.IntegerField(null=True)
    status = models.TextField()
    fence = models.BigIntegerField(db_default=0)
    owner = models.TextField(null=True)  # noqa: DJ001  nobody holds it
    lease_until = models.DateTimeField(null=True)
    next_seq = models.IntegerField(db_default=1)
    mail_seq = models.IntegerField(db_default=0)
    read_seq = models.IntegerField(db_default=0)
    woken = models.BooleanField(db_default=False)
    crashes = models.SmallIntegerField(db_default=0)
    hints = models.SmallIntegerField(db_default=0)
    hinted_at = models.DateTimeField(db_default=Now())
    cancel_requested = models.BooleanField(db_default=False)
    deadline_at = models.DateTimeField(null=True)
    steps = models.IntegerField(db_default=0)
    input_tokens = models.BigIntegerField(db_default=0)
    output_tokens = models.BigIntegerField(db_default=0)
    cost_usd = models.DecimalField(max_digits=20, decimal_places=9, db_default=0)
    input = models.JSONField()
    output = models.JSONField(null=True)
    error = models.JSONField(null=True)
    waiting_on = models.JSONField(null=True)
    started_by = models.TextField()
    starter_id = models.UUIDField()
    starter_kind = models.TextField(default="", db_default="")
    key_id = models.UUIDField(null=True)
    key_scopes = models.JSONField(null=True)
    is_autonomous = models.BooleanField(default=False, db_default=False)
    session = models.TextField(db_default="")
    metadata = models.JSONField()
    traceparent = models.TextField(db_default="")
    created_at = models.DateTimeField(db_default=Now())
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "run"
        constraints = [
            models.CheckConstraint(
                condition=models.Q(status__in=STATUSES), name="run_status_known"
            ),
            models.CheckConstraint(
                condition=models.Q(agent_id__isnull=False)
                | models.Q(workflow_id__isnull=False)
                | ~models.Q(tool=""),
                name="run_of_agent_workflow_or_tool",
            ),
        ]
        indexes = [
            models.Index(fields=["project_id", "-id"], name="run_newest"),
            models.Index(
                fields=["workflow_id", "-id"],
                name="run_of_workflow",
                condition=models.Q(workflow_id__isnull=False),
            ),
            models.Index(fields=["id"], name="run_ready", condition=models.Q(status="ready")),
            models.Index(fields=["id"], name="run_live", condition=models.Q(status="running")),
            models.Index(fields=["id"], name="run_waiting", condition=models.Q(status="waiting")),
            models.Index(
                fields=["parent_id"],
                name="run_of_parent",
                condition=models.Q(parent_id__isnull=False),
            ),
            models.Index(
                fields=["root_id"],
                name="run_of_root",
                condition=models.Q(parent_id__isnull=False),
            ),
        ]


class Event(models.Model):
    """One fact of a run, append-only. A step has at most one result."""

    pk = models.CompositePrimaryKey("run_id", "seq")
    run_id = models.UUIDField()
    seq = models.IntegerField()
    type = models.TextField()
    step = models.TextField()
    attempt = models.SmallIntegerField(db_default=1)
    fence = models.BigIntegerField()
    started_at = models.DateTimeField()
    at = models.DateTimeField(db_default=Now())
    data = models.JSONField()
    input_tokens = models.IntegerField(db_default=0)
    output_tokens = models.IntegerField(db_default=0)
    cost_usd = models.DecimalField(max_digits=20, decimal_places=9, db_default=0)

    class Meta:
        db_table = "event"
        constraints = [
            models.UniqueConstraint(
                fields=["run_id", "step"],
                name="event_one_result_a_step",
                condition=models.Q(type__in=STEP_RESULTS),
            )
        ]


class Blob(models.Model):
    """Content named by its SHA-256 within an organisation: a repeated message is stored once."""

    pk = models.CompositePrimaryKey("organisation_id", "sha256")
    organisation_id = models.UUIDField()
    sha256 = models.BinaryField()
    body = models.BinaryField()

    class Meta:
        db_table = "run_blob"


class Mail(models.Model):
    """One inbox for everything that wakes a run. The same `dedupe_key` arrives once."""

    pk = models.CompositePrimaryKey("run_id", "seq")
    run_id = models.UUIDField()
    seq = models.IntegerField()
    kind = models.TextField()
    body = models.JSONField()
    dedupe_key = models.TextField()
    at = models.DateTimeField(db_default=Now())

    class Meta:
        db_table = "mail"
        constraints = [
            models.UniqueConstraint(fields=["run_id", "dedupe_key"], name="mail_arrives_once")
        ]


class Timer(models.Model):
    """Mail with a due time."""

    run_id = models.UUIDField()
    key = models.TextField()
    fire_at = models.DateTimeField()
    fired_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "timer"
        constraints = [models.UniqueConstraint(fields=["run_id", "key"], name="timer_once")]
        indexes = [
            models.Index(
                fields=["fire_at"], name="timer_due", condition=models.Q(fired_at__isnull=True)
            )
        ]


class Workflow(models.Model):
    """A name in a project; `head` is the number of its newest version."""

    id = models.UUIDField(primary_key=True, default=ids.new, editable=False)
    organisation_id = models.UUIDField()
    team_id = models.UUIDField()
    project_id = models.UUIDField()
    name = models.TextField()
    head = models.PositiveIntegerField()
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        db_table = "workflow"
        constraints = [
            models.UniqueConstraint(fields=["project_id", "name"], name="workflow_name_once")
        ]


class WorkflowVersion(models.Model):
    """One definition, as it was saved and by whom; `source` is its YAML, with its comments, where
    it was saved as text. Append-only: runs are pinned to it.
    """

    id = models.UUIDField(primary_key=True, default=ids.new, editable=False)
    workflow = models.ForeignKey(Workflow, on_delete=models.PROTECT, related_name="versions")
    number = models.PositiveIntegerField()
    definition = models.JSONField()
    source = models.TextField(db_default="")
    saved_by = models.TextField()
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        db_table = "workflow_version"
        constraints = [
            models.UniqueConstraint(fields=["workflow", "number"], name="workflow_version_once")
        ]
