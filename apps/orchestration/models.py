"""The journal's tables, those of what starts runs, and the workflows that runs are pinned to.

Rows of the journal are written by `journal`, `inbox` and `recovery` alone, never by ORM: `run` is
the only one that moves, everything else is appended.
"""

from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import GinIndex, OpClass
from django.db import models
from django.db.models.functions import Cast, Left, Now

from octavo.kernel import ids
from octavo.kernel.secrets import EncryptedField

LIVE = ("ready", "running", "waiting")
STATUSES = ("ready", "running", "waiting", "done", "failed", "cancelled", "quarantined")
FINAL = ("done", "failed", "cancelled", "quarantined")
STEP_RESULTS = ("context_retrieved", "model_answered", "tool_answered")
SEARCHED_CHARACTERS = 1000
"""How much of an input can be found by its text."""

_ENDED = models.Q(finished_at__isnull=False)


class Run(models.Model):
    """One durable run, of an agent, of a workflow or of one tool call (`tool`). The principal of
    the latter two is the starter.

    `fence` grows with every claim; only its holder may append.

    `next_seq` is the journal's head, `mail_seq` the inbox's, `read_seq` how far the inbox was read.
    `key_id` is the API key that started it: its budgets bind the run, and `key_scopes` a tool call.
    `triggered_by` is the public id of the schedule, hook or trigger that started it, `chain_depth`
    how many runs before it led to it by triggers. `crashes` counts lost leases since the last
    append.

    A fork of `forked_from` begins with copies of its events, up to `forked_at_seq` of its own
    journal; `given_route` replaces its agent's. `heard_at` is set where a loop outside reports the
    run: no worker claims it, and it has no lease.

    An append must stay a heap-only update, so no index (not even a partial one) may name a column
    that it changes: `lease_until`, `next_seq`, `steps`, tokens, `cost_usd`. What is sought by such
    a column has a twin that the database generates (`ended_cost_usd`, `ended_ms`, `error_code`) and
    that gets its value once, with the end.

    `rank` orders what is ready: the moment it became so, moved by its priority. `slot_wait` is the
    limit for whose free slot it waits. `retry_of` is the ended run that this one does again.
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
    priority = models.SmallIntegerField(default=0, db_default=0)
    rank = models.DateTimeField(db_default=Now())
    slot_wait = models.UUIDField(null=True)
    route = models.TextField(default="", db_default="")
    retry_of = models.UUIDField(null=True)
    tags = ArrayField(models.TextField(), db_default=[])
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
    triggered_by = models.TextField(default="", db_default="")
    chain_depth = models.SmallIntegerField(default=0, db_default=0)
    traceparent = models.TextField(db_default="")
    created_at = models.DateTimeField(db_default=Now())
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)
    ended_cost_usd = models.DecimalField(max_digits=20, decimal_places=9, null=True)
    ended_ms = models.BigIntegerField(null=True)
    error_code = models.TextField(null=True)  # noqa: DJ001  it has not failed

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
                fields=["heard_at"],
                name="run_outside",
                condition=models.Q(status="running", heard_at__isnull=False),
            ),
            models.Index(
                fields=["root_id"],
                name="run_of_root",
                condition=models.Q(parent_id__isnull=False),
            ),
            models.Index(
                fields=["triggered_by", "-id"],
                name="run_of_trigger",
                condition=~models.Q(triggered_by=""),
            ),
            models.Index(
                fields=["triggered_by"],
                name="run_of_trigger_live",
                condition=models.Q(status__in=LIVE) & ~models.Q(triggered_by=""),
            ),
            models.Index(
                fields=["retry_of"],
                name="run_of_retry",
                condition=models.Q(retry_of__isnull=False),
            ),
            models.Index(
                fields=["project_id", "rank"],
                name="run_next",
                condition=models.Q(status="ready", slot_wait__isnull=True),
            ),
            models.Index(
                fields=["project_id", "id"],
                name="run_unfinished",
                condition=models.Q(finished_at__isnull=True),
            ),
            # Wide enough to answer any combination of filters without the rows themselves.
            models.Index(
                fields=["project_id", "id"],
                include=[
                    *("status", "agent_name", "tool", "tags", "ended_cost_usd", "ended_ms"),
                    *("error_code", "started_by", "parent_id", "retry_of", "created_at"),
                ],
                name="run_finished",
                condition=_ENDED,
            ),
            *(
                models.Index(
                    fields=["project_id", column, "id"], name=f"run_by_{name}", condition=condition
                )
                for name, column, condition in (
                    ("agent", "agent_name", _ENDED),
                    ("cost", "ended_cost_usd", _ENDED),
                    ("time", "ended_ms", _ENDED),
                    ("starter", "started_by", _ENDED),
                    ("error", "error_code", models.Q(error_code__isnull=False)),
                    ("trouble", "status", _ENDED & ~models.Q(status="done")),
                )
            ),
            models.Index(
                "project_id",
                Left("session", 200),
                "id",
                name="run_of_session",
                condition=~models.Q(session=""),
            ),
            GinIndex(
                OpClass(models.F("metadata"), "jsonb_path_ops"),
                OpClass(models.F("tags"), "array_ops"),
                name="run_labels",
                condition=_ENDED,
            ),
            GinIndex(
                OpClass(
                    Left(Cast("input", models.TextField()), SEARCHED_CHARACTERS), "gin_trgm_ops"
                ),
                name="run_text",
                condition=_ENDED,
            ),
        ]


class ConcurrencyLimit(models.Model):
    """How many runs of a project, of one of its agents or on one of its routes run at once."""

    id = models.UUIDField(primary_key=True, default=ids.new)
    project_id = models.UUIDField()
    kind = models.TextField()
    target = models.TextField(default="")
    most = models.IntegerField()
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        db_table = "concurrency_limit"
        constraints = [
            models.UniqueConstraint(
                fields=["project_id", "kind", "target"], name="concurrency_limit_once"
            ),
            models.CheckConstraint(condition=models.Q(most__gte=1), name="concurrency_limit_some"),
        ]


class BulkJob(models.Model):
    """One action on every run that a filter found when it was asked for, newest first.

    `up_to` bounds it to the runs that were there then; `cursor` is the last run that was looked at.
    """

    id = models.UUIDField(primary_key=True, default=ids.new)
    organisation_id = models.UUIDField()
    team_id = models.UUIDField()
    project_id = models.UUIDField()
    action = models.TextField()
    wanted = models.JSONField()
    total = models.IntegerField()
    done = models.IntegerField(default=0)
    skipped = models.IntegerField(default=0)
    refused = models.IntegerField(default=0)
    problems = models.JSONField(default=list)
    up_to = models.UUIDField()
    cursor = models.UUIDField(null=True)
    principal_kind = models.TextField()
    principal_id = models.UUIDField()
    principal_name = models.TextField()
    key_id = models.UUIDField(null=True)
    key_scopes = models.JSONField()
    created_at = models.DateTimeField(db_default=Now())
    touched_at = models.DateTimeField(db_default=Now())
    finished_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "run_bulk_job"
        indexes = [
            models.Index(fields=["project_id", "-id"], name="run_bulk_job_newest"),
            models.Index(
                fields=["touched_at"],
                name="run_bulk_job_open",
                condition=models.Q(finished_at__isnull=True),
            ),
        ]


class Worker(models.Model):
    """A process that takes runs, as it last showed itself. `duties` says when each was done."""

    name = models.TextField(primary_key=True)
    held = models.IntegerField()
    threads = models.IntegerField()
    duties = models.JSONField()
    started_at = models.DateTimeField(db_default=Now())
    seen_at = models.DateTimeField(db_default=Now())

    class Meta:
        db_table = "run_worker"


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


class Trigger(models.Model):
    """What starts runs by itself: a schedule, a hook or a reaction, in its owner's name.

    `settings` is shaped by `kind` (see `types`); `agent` or `workflow` is what it starts. The owner
    saved it last, with the key `key_id`. `next_due_at` is set while a schedule is not paused. A
    hook's token is kept as SHA-256; `old_secret` is accepted until `old_secret_until`.
    """

    id = models.UUIDField(primary_key=True, default=ids.new)
    organisation_id = models.UUIDField()
    team_id = models.UUIDField()
    project_id = models.UUIDField()
    kind = models.TextField()
    name = models.TextField(default="", db_default="")
    agent = models.TextField(default="", db_default="")
    workflow = models.TextField(default="", db_default="")
    settings = models.JSONField()
    next_due_at = models.DateTimeField(null=True)
    token_hash = models.BinaryField(null=True, unique=True)
    secret = EncryptedField(default="", db_default="")
    old_secret = EncryptedField(default="", db_default="")
    old_secret_until = models.DateTimeField(null=True)
    owner_kind = models.TextField()
    owner_id = models.UUIDField()
    owner_name = models.TextField()
    key_id = models.UUIDField(null=True)
    key_scopes = models.JSONField()
    paused_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField(db_default=Now())
    updated_at = models.DateTimeField(db_default=Now())

    class Meta:
        db_table = "run_trigger"
        indexes = [
            models.Index(fields=["project_id", "kind", "-id"], name="run_trigger_project"),
            models.Index(
                fields=["next_due_at"],
                name="run_trigger_due",
                condition=models.Q(next_due_at__isnull=False),
            ),
        ]


class Firing(models.Model):
    """One time that a trigger was due, called or met its event, and what came of it.

    The same `dedupe_key` (a due time, a delivery, an event) fires once. `due_at` is when the run
    should have started, `at` when this was decided.
    """

    id = models.UUIDField(primary_key=True, default=ids.new)
    trigger = models.ForeignKey(
        Trigger, on_delete=models.CASCADE, related_name="firings", db_index=False
    )
    dedupe_key = models.TextField(null=True)  # noqa: DJ001  none: it may come again
    due_at = models.DateTimeField()
    outcome = models.TextField()
    reason = models.TextField(default="", db_default="")
    run_id = models.UUIDField(null=True)
    at = models.DateTimeField(db_default=Now())

    class Meta:
        db_table = "trigger_firing"
        constraints = [
            models.UniqueConstraint(fields=["trigger", "dedupe_key"], name="trigger_fires_once")
        ]
        indexes = [
            models.Index(fields=["trigger", "-id"], name="trigger_firing_newest"),
            models.Index(fields=["trigger", "outcome", "at"], name="trigger_firing_rate"),
            models.Index(fields=["at"], name="trigger_firing_at"),
            models.Index(
                fields=["id"], name="trigger_firing_queued", condition=models.Q(outcome="queued")
            ),
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
