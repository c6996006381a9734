"""The effect ledger, and the tools of upstream servers with what a person said about each.

An unsafe call leaves its intent behind before it happens; a definition counts as approved only
while the upstream shows exactly what was approved.
"""

from django.db import models
from django.db.models.functions import Now

from apps.tools.types import Effect as EffectClass
from apps.tools.types import EffectState, Health, Risk, ToolState, Transport, Trust
from octavo.kernel import ids
from octavo.kernel.secrets import EncryptedField


class Effect(models.Model):
    """One unsafe call of one step. `unknown` is never repeated without a person's word."""

    run_id = models.UUIDField()
    step = models.TextField()
    tool = models.TextField()
    idempotency_key = models.TextField()
    state = models.TextField(choices=[(state.value, state.value) for state in EffectState])
    created_at = models.DateTimeField(db_default=Now())
    changed_at = models.DateTimeField(db_default=Now())

    class Meta:
        db_table = "effect"
        constraints = [
            models.UniqueConstraint(fields=["run_id", "step"], name="effect_once_per_step"),
            models.CheckConstraint(
                condition=models.Q(state__in=[state.value for state in EffectState]),
                name="effect_state_known",
            ),
        ]


class ToolServer(models.Model):
    """An upstream MCP server. `env` is a sealed JSON object, `token` a sealed bearer token."""

    id = models.UUIDField(primary_key=True, default=ids.new)
    project = models.ForeignKey("accounts.Project", models.CASCADE, related_name="+")
    name = models.TextField()
    transport = models.TextField()
    url = models.TextField(default="")
    command = models.TextField(default="")
    args = models.JSONField(default=list)
    env = EncryptedField(default="")
    env_names = models.JSONField(default=list)
    token = EncryptedField(default="")
    enabled = models.BooleanField(default=True)
    health = models.TextField(default=Health.UNKNOWN.value)
    last_error = models.TextField(default="")
    checked_at = models.DateTimeField(null=True)
    protocol_version = models.TextField(default="")
    software = models.TextField(default="")
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        db_table = "tool_server"
        constraints = [
            models.UniqueConstraint(fields=["project", "name"], name="tool_server_name_once"),
            models.CheckConstraint(
                condition=models.Q(transport__in=[one.value for one in Transport]),
                name="tool_server_transport_known",
            ),
        ]


class Tool(models.Model):
    """A tool of a server: the definition that counts, and, in `seen`, one that differs from it.

    `approved_hash` is the definition a person approved; `held` says why a person withdrew it;
    `problem` says why no person can approve what the server shows.
    """

    id = models.UUIDField(primary_key=True, default=ids.new)
    server = models.ForeignKey(ToolServer, models.CASCADE, related_name="tools")
    upstream_name = models.TextField()
    name = models.TextField()
    title = models.TextField(default="")
    description = models.TextField(default="")
    input_schema = models.JSONField(default=dict)
    output_schema = models.JSONField(null=True)
    annotations = models.JSONField(default=dict)
    warnings = models.JSONField(default=list)
    definition_hash = models.TextField()
    seen = models.JSONField(null=True)
    seen_hash = models.TextField()
    problem = models.TextField(default="")
    held = models.TextField(default="")
    approved_hash = models.TextField(default="")
    approved_by = models.TextField(default="")
    approved_at = models.DateTimeField(null=True)
    state = models.TextField(default=ToolState.PENDING.value)
    risk = models.TextField(default=Risk.WRITE.value)
    egress = models.BooleanField(default=True)
    effect = models.TextField(default=EffectClass.UNSAFE.value)
    trust = models.TextField(default=Trust.UNTRUSTED.value)
    timeout_seconds = models.PositiveIntegerField(default=30)
    result_cap = models.PositiveIntegerField(default=32_000)
    missing_since = models.DateTimeField(null=True)
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        db_table = "tool"
        constraints = [
            models.UniqueConstraint(fields=["server", "upstream_name"], name="tool_upstream_once"),
            models.UniqueConstraint(fields=["server", "name"], name="tool_name_once"),
            models.CheckConstraint(
                condition=models.Q(state__in=[state.value for state in ToolState]),
                name="tool_state_known",
            ),
        ]
