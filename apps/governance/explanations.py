"""Why a request was answered as it was, and what would change the answer, in words fit to show."""

from collections.abc import Sequence

from apps.governance import cedar
from apps.governance.types import Action, Fact, Resource
from octavo.kernel.scope import PrincipalKind, Scope

NO_TENANT = (
    "The request names no organisation, team or project, so nothing can permit it. "
    "Sign in, or use an API key of a project."
)
_FLIPS: tuple[tuple[str, Fact, str], ...] = (
    ("role", "member", "Ask an admin of the project for the role member."),
    ("role", "admin", "Ask an admin of the project to do it, or for the role admin."),
    ("granted", True, "List it in the agent's definition, with the access it needs."),
)


def allowed(policies: Sequence[str]) -> str:
    return f"Allowed by {_named(policies)}."


def key_scope(scope: Scope, action: Action) -> str:
    made_for = ", ".join(scope.key_scopes) or "nothing"
    return (
        f"The API key is not made for {action} (its scopes: {made_for}). "
        f"Use a key with the scope {action}."
    )


def unusable_fact(scope: Scope, action: Action, resource: Resource, error: Exception) -> str:
    return f"{_request(scope, action, resource)} was refused: {error}."


def policy_errors(scope: Scope, question: cedar.Question, errors: Sequence[str]) -> str:
    return (
        f"{_asked(scope, question)} was refused, because the policies could not be evaluated: "
        f"{'; '.join(errors)}."
    )


def needs_approval(scope: Scope, question: cedar.Question, deciding: Sequence[cedar.Policy]) -> str:
    return f"{_asked(scope, question)} waits for approval. {_reasons(deciding)}"


def forbidden(scope: Scope, question: cedar.Question, deciding: Sequence[cedar.Policy]) -> str:
    return f"{_asked(scope, question)} is forbidden. {_reasons(deciding)}"


def not_permitted(bundle: cedar.Bundle, scope: Scope, question: cedar.Question) -> str:
    """Tries each fact that a person could change; names the first that would permit the request."""
    kind = scope.principal.kind
    applicable = "granted" if kind is PrincipalKind.AGENT else "role"
    flips = [flip for flip in _FLIPS if flip[0] == applicable]
    changed = [
        cedar.Question(
            action=question.action,
            resource=question.resource,
            facts={**question.facts, name: value},
        )
        for name, value, _ in flips
    ]
    verdicts = cedar.evaluate(bundle=bundle, scope=scope, questions=changed)
    steps = [
        advice
        for (_, _, advice), verdict in zip(flips, verdicts, strict=True)
        if verdict.allowed or any(policy.obligation for policy in verdict.deciding)
    ]
    advice = steps[0] if steps else "No role or grant would permit it."
    return f"{_asked(scope, question)} is permitted by no policy. {advice}"


def _asked(scope: Scope, question: cedar.Question) -> str:
    return _request(scope, question.action, question.resource)


def _request(scope: Scope, action: Action, resource: Resource) -> str:
    who = f"{scope.principal.kind} {scope.principal.name!r}"
    return f"{action} on {resource.kind} {resource.name!r} by {who}"


def _named(policies: Sequence[str]) -> str:
    return ("policy " if len(policies) == 1 else "policies ") + ", ".join(policies)


def _reasons(deciding: Sequence[cedar.Policy]) -> str:
    return " ".join(
        f"Policy {policy.id}: {policy.explain or 'it has no exception.'}" for policy in deciding
    )
