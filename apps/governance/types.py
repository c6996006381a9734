"""The vocabulary of governance: what is asked, answered, reserved, and what waits for a person."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any, NamedTuple, Protocol
from uuid import UUID

from octavo.kernel.errors import Forbidden
from octavo.kernel.scope import Scope

Fact = str | bool | int


class Action(StrEnum):
    """What a principal may be allowed to do. Key scopes and policies use these names."""

    MODEL_CALL = "model.call"
    TOOL_CALL = "tool.call"
    CONTEXT_READ = "context.read"
    CONTEXT_WRITE = "context.write"
    RUN_START = "run.start"
    RUN_READ = "run.read"
    RUN_CONTROL = "run.control"
    AGENT_DELEGATE = "agent.delegate"
    TRIGGER_MANAGE = "trigger.manage"
    APPROVAL_DECIDE = "approval.decide"
    AGENT_MANAGE = "agent.manage"
    WORKFLOW_MANAGE = "workflow.manage"
    MODEL_MANAGE = "model.manage"
    TOOL_MANAGE = "tool.manage"
    SPACE_MANAGE = "space.manage"
    KEY_MANAGE = "key.manage"
    POLICY_MANAGE = "policy.manage"
    BUDGET_MANAGE = "budget.manage"
    MEMBER_MANAGE = "member.manage"


class ResourceKind(StrEnum):
    """Entity types of the policy schema."""

    PROJECT = "Project"
    AGENT = "Agent"
    WORKFLOW = "Workflow"
    ROUTE = "Route"
    TOOL_SERVER = "ToolServer"
    TOOL = "Tool"
    SPACE = "Space"
    RUN = "Run"


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """What is acted on. `name` is what people write in policies and definitions."""

    kind: ResourceKind
    id: UUID
    name: str

    @classmethod
    def project_of(cls, scope: Scope) -> "Resource":
        """The project itself: what actions on a whole collection are checked against."""
        return cls(kind=ResourceKind.PROJECT, id=scope.project_id, name="this project")


class Outcome(StrEnum):
    """In falling order of strength: the strongest outcome of all deciding policies holds."""

    DENY = "deny"
    REQUIRE_APPROVAL = "require_approval"
    TRANSFORM = "transform"
    ALLOW_WITH_LIMIT = "allow_with_limit"
    ALLOW = "allow"


@dataclass(frozen=True, slots=True, kw_only=True)
class Obligation:
    """What must happen around an otherwise refused action, and the policy that asks for it."""

    kind: Outcome
    policy: str
    parameters: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """One answer of the decision point. `bundle` is the SHA-256 of the policies that answered."""

    id: UUID
    outcome: Outcome
    policies: tuple[str, ...]
    obligations: tuple[Obligation, ...]
    facts: Mapping[str, Fact]
    bundle: str
    explain: str

    @property
    def is_allowed(self) -> bool:
        return self.outcome in {Outcome.ALLOW, Outcome.ALLOW_WITH_LIMIT}

    def require(self) -> "Decision":
        """Itself when allowed; raises `Forbidden` naming the deciding policies otherwise."""
        if not self.is_allowed:
            raise Forbidden(self.explain, policies=self.policies)
        return self


class FactProvider(Protocol):
    """What an upper layer knows of its principals: `role` of people, `granted` for agents."""

    def __call__(
        self, *, scope: Scope, action: Action, resource: Resource
    ) -> Mapping[str, Fact]: ...


class ResourceLister(Protocol):
    """All resources of one kind in a project, contributed by the layer that owns them."""

    def __call__(self, *, scope: Scope) -> list[Resource]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Amount:
    """What a call may cost at most, or did cost. `usd` has up to nine decimals."""

    usd: Decimal = Decimal(0)
    tokens: int = 0
    calls: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a budget allows in one period; None does not bind."""

    usd: Decimal | None = None
    tokens: int | None = None
    calls: int | None = None


class BudgetScope(StrEnum):
    ORGANISATION = "organisation"
    TEAM = "team"
    PROJECT = "project"
    AGENT = "agent"
    KEY = "key"
    RUN = "run"


class Period(StrEnum):
    DAY = "day"
    MONTH = "month"
    TOTAL = "total"


class OnExceed(StrEnum):
    """What a budget does at its limit: refuse the call, or count it and log."""

    BLOCK = "block"
    WARN = "warn"


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetView:
    """A budget, and what its present period has spent and set aside. None does not bind.

    `resets_at` is when the period ends; None for a total.
    """

    id: UUID
    on: BudgetScope
    target_id: UUID
    period: Period
    limit_usd: Decimal | None
    limit_tokens: int | None
    limit_calls: int | None
    on_exceed: OnExceed
    spent: Amount
    reserved: Amount
    resets_at: datetime | None

    @property
    def left(self) -> Limits:
        """What the period still has room for."""
        usd, tokens, calls = self.limit_usd, self.limit_tokens, self.limit_calls
        spent, held = self.spent, self.reserved
        return Limits(
            usd=None if usd is None else max(usd - spent.usd - held.usd, Decimal(0)),
            tokens=None if tokens is None else max(tokens - spent.tokens - held.tokens, 0),
            calls=None if calls is None else max(calls - spent.calls - held.calls, 0),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Reservation:
    """Money and tokens set aside for one call, on every budget it falls under.

    Not held: there is no such budget, so there is nothing to settle.
    """

    id: UUID
    amount: Amount
    is_held: bool = True


class ApprovalStatus(StrEnum):
    PENDING = "pending"
    APPROVED = "approved"
    REFUSED = "refused"
    EXPIRED = "expired"
    CANCELLED = "cancelled"


class Verdict(StrEnum):
    APPROVE = "approve"
    REFUSE = "refuse"


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval:
    """A call that waits for a person. `action_hash` binds the verdict to exactly this tool, these
    arguments, these policies.
    """

    id: UUID
    run_id: UUID
    step: str
    tool: str
    arguments: Mapping[str, Any]
    action_hash: str
    policy: str
    bundle: str
    requested_by: str
    requested_at: datetime
    expires_at: datetime
    status: ApprovalStatus
    decided_by: str | None
    decided_at: datetime | None
    note: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedDecision:
    """One row of the decision log, as it was answered at the time."""

    id: UUID
    at: datetime
    run_id: UUID | None
    step: str
    principal: str
    action: str
    resource: str
    outcome: Outcome
    policies: tuple[str, ...]
    facts: Mapping[str, Fact]
    bundle: str
    explain: str


class AuditCheck(NamedTuple):
    """`head` is the hash of the last entry, `checked` how many entries were recomputed."""

    ok: bool
    checked: int
    head: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCalls:
    """How often the policies were asked to let a tool be called; `refused` calls are among them."""

    tool: str
    calls: int
    refused: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    seq: int
    at: datetime
    actor: str
    action: str
    target: str
    outcome: str
    payload: Mapping[str, Any]
    hash: str
