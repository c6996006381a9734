"""Policies in, verdicts out: pure, and closed on failure. Only a clean `Allow` counts as allowed.

Cedar skips a policy that errs, so any error in its diagnostics refuses the request, and nothing is
evaluated that was not strictly validated against the schema first.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import cedarpy
import orjson

from apps.governance.types import Action, Fact, Outcome, Resource, ResourceKind
from octavo.kernel.scope import Principal, PrincipalKind, Scope

_BUNDLE = Path(__file__).with_name("bundle")
_PRINCIPALS = {
    PrincipalKind.USER: "User",
    PrincipalKind.SERVICE: "Service",
    PrincipalKind.AGENT: "Agent",
    PrincipalKind.SYSTEM: "System",
}
_OBLIGATIONS = {"require_approval": Outcome.REQUIRE_APPROVAL}

Entity = dict[str, Any]


class InvalidBundleError(ValueError):
    """The policies or their schema cannot be used; nothing is decided with them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """One policy's annotations. `obligation` lifts a forbid once it is met; None means never."""

    id: str
    effect: str
    obligation: Outcome | None
    explain: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """Parsed policies. `sha256` is over schema and policies, and names them for ever."""

    sha256: str
    policies: str
    schema: str
    by_reason: Mapping[str, Policy]
    policy_handle: Any
    schema_handle: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """`deciding` is empty when no policy spoke (default deny) or when `errors` is not."""

    allowed: bool
    deciding: tuple[Policy, ...]
    errors: tuple[str, ...]


@cache
def shipped_bundle() -> Bundle:
    return load_bundle(
        policies=(_BUNDLE / "shipped.cedar").read_text(),
        schema=(_BUNDLE / "schema.cedarschema").read_text(),
    )


def load_bundle(*, policies: str, schema: str) -> Bundle:
    """Parse and strictly validate. Raises `InvalidBundleError` naming what is wrong."""
    try:
        schema_handle = cedarpy.Schema.from_str(schema)
        policy_handle = cedarpy.PolicySet.from_str(policies)
        parsed = orjson.loads(cedarpy.policies_to_json_str(policies))
    except ValueError as error:
        raise InvalidBundleError(f"The policies do not parse: {error}") from error
    validation = cedarpy.validate_policies(policies, schema_handle)
    if not validation:
        raise InvalidBundleError(
            "The policies do not fit the schema: " + "; ".join(map(str, validation.errors))
        )
    return Bundle(
        sha256=hashlib.sha256(f"{schema}\0{policies}".encode()).hexdigest(),
        policies=policies,
        schema=schema,
        by_reason=_annotations(parsed),
        policy_handle=policy_handle,
        schema_handle=schema_handle,
    )


def _annotations(parsed: Mapping[str, Any]) -> dict[str, Policy]:
    found: dict[str, Policy] = {}
    for reason, body in parsed["staticPolicies"].items():
        notes = body.get("annotations", {})
        obligation = notes.get("obligation")
        if not notes.get("id"):
            raise InvalidBundleError(f'{reason} has no @id("…"): decisions could not name it.')
        if obligation is not None and obligation not in _OBLIGATIONS:
            raise InvalidBundleError(
                f"Policy {notes['id']} asks for the unknown obligation {obligation!r}; "
                f"known: {', '.join(_OBLIGATIONS)}."
            )
        if obligation is not None and body["effect"] != "forbid":
            raise InvalidBundleError(
                f"Policy {notes['id']} is a permit with an obligation; only a forbid can have one."
            )
        found[reason] = Policy(
            id=notes["id"],
            effect=body["effect"],
            obligation=_OBLIGATIONS.get(obligation or ""),
            explain=notes.get("explain", ""),
        )
    names = [policy.id for policy in found.values()]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InvalidBundleError(f"More than one policy has the @id {', '.join(twice)}.")
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One request to the policies."""

    action: Action
    resource: Resource
    facts: Mapping[str, Fact]


def evaluate(*, bundle: Bundle, scope: Scope, questions: Sequence[Question]) -> list[Verdict]:
    """One verdict per question, all asked by `scope.principal`."""
    principal = {"type": _PRINCIPALS[scope.principal.kind], "id": str(scope.principal.id)}
    requests = [
        {
            "principal": principal,
            "action": {"type": "Action", "id": question.action.value},
            "resource": _resource_uid(question.resource, scope),
            "context": orjson.dumps(question.facts).decode(),
        }
        for question in questions
    ]
    entities = orjson.dumps(_entities(scope, [question.resource for question in questions]))
    results = cedarpy.is_authorized_batch(
        requests, bundle.policy_handle, entities.decode(), bundle.schema_handle
    )
    return [_verdict(bundle, result) for result in results]


def _verdict(bundle: Bundle, result: cedarpy.AuthzResult) -> Verdict:
    errors = tuple(result.diagnostics.errors)
    clean = not errors and result.decision in {cedarpy.Decision.Allow, cedarpy.Decision.Deny}
    reasons = result.diagnostics.reasons if clean else ()
    return Verdict(
        allowed=clean and result.decision is cedarpy.Decision.Allow,
        deciding=tuple(bundle.by_reason[reason] for reason in reasons),
        errors=errors if clean or errors else ("the policy engine gave no decision",),
    )


def _resource_uid(resource: Resource, scope: Scope) -> dict[str, str]:
    # The project is the scope's own, whatever id the caller put into the resource.
    is_project = resource.kind is ResourceKind.PROJECT
    return {
        "type": resource.kind.value,
        "id": str(scope.project_id if is_project else resource.id),
    }


def _entities(scope: Scope, resources: Sequence[Resource]) -> list[Entity]:
    """The slice that the questions can see: ground, principal, resources."""
    organisation = {"type": "Organisation", "id": str(scope.organisation_id)}
    team = {"type": "Team", "id": str(scope.team_id)}
    project = {"type": "Project", "id": str(scope.project_id)}
    slice_ = {
        ("Organisation", organisation["id"]): _entity(organisation),
        ("Team", team["id"]): _entity(team, parent=organisation),
        ("Project", project["id"]): _entity(project, parent=team),
    }
    for resource in resources:
        uid = _resource_uid(resource, scope)
        if resource.kind is not ResourceKind.PROJECT:
            slice_[uid["type"], uid["id"]] = _entity(uid, parent=project, name=resource.name)
    asking = _principal(scope.principal, project)
    slice_.setdefault((asking["uid"]["type"], asking["uid"]["id"]), asking)
    return list(slice_.values())


def _principal(principal: Principal, project: dict[str, str]) -> Entity:
    uid = {"type": _PRINCIPALS[principal.kind], "id": str(principal.id)}
    parent = project if principal.kind is PrincipalKind.AGENT else None
    return _entity(uid, parent=parent, name=principal.name)


def _entity(uid: dict[str, str], *, parent: dict[str, str] | None = None, **attrs: str) -> Entity:
    return {"uid": uid, "attrs": attrs, "parents": [parent] if parent else []}
