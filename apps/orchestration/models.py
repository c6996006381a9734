"""The journal's tables. Rows are written by `journal`, `inbox` and `recovery` alone, never by ORM.

`run` is the only row that moves; everything else is appended.
"""

from django.db import models
from django.db.models.functions import Now

STATUSES = ("ready", "running", "waiting", "done", "failed", "cancelled", "quarantined")
FINAL = ("done", "failed", "cancelled", "quarantined")
STEP_RESULTS = ("context_retrieved", "model_answered", "tool_answered")


class Run(models.Model):
    """One durable run, of an agent or of one tool call (`tool`, whose principal is the starter).

    `fence` grows with every claim; only its holder may append.

    `next_seq` is the journal's head, `mail_seq` the inbox's, `read_seq` how far the inbox was read.
    `key_id` is the API key that started it: its budgets bind the run, and `key_scopes` a tool call.
    A fork of `forked_from` begins with copies of its events, up to `forked_at_seq` of its own
    journal; `given_route` replaces its agent's. `heard_at` is set where a loop outside reports the
    run: no worker claims it, and it has no lease.

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
    tool = models.TextField(default="", db_default="")
    strategy = models.TextField()
    root_id = models.UUIDField()
    parent_id = models.UUIDField(null=True)
    parent_key = models.TextField(default="", db_default="")
    depth = models.SmallIntegerField(default=0, db_default=0)
    forked_from = models.UUIDField(null=True)
    forked_at_seq = models.IntegerField(null=True)
    forked_at_step = models.TextField(default="", db_default="")
    given_route = models.TextField(default="", db_default="")
    is_dry_run = models.BooleanField(default=False, db_default=False)
    heard_at = models.DateTimeField(null=True)
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
                condition=models.Q(agent_id__isnull=False) | ~models.Q(tool=""),
                name="run_of_agent_or_tool",
            ),
        ]
        indexes = [
            models.Index(fields=["project_id", "-id"], name="run_newest"),
            models.Index(fields=["id"], name="run_ready", condition=models.Q(status="ready")),
            models.Index(fields=["id"], name="run_live", condition=models.Q(status="running")),
            models.Index(fields=["id"], name="run_waiting", condition=models.Q(status="waiting")),
            models.Index(
                fields=["parent_id"],
                name="run_of_parent",
                condition=models.Q(parent_id__isnull=False),
            ),
            models.Index(
                fields=["heard_at"],
                name="run_outside",
                condition=models.Q(status="running", heard_at__isnull=False),
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
