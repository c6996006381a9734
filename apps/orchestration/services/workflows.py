"""Saving a workflow: whatever is wrong with it is said now, all of it, and exactly where.

Every save is a new version; runs stay on the one that they began with. A workflow grants nothing:
its runs act in the name of whoever starts them.
"""

import re
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from django.db import IntegrityError, transaction

from apps.governance.services import decisions
from apps.governance.types import Action, Resource, ResourceKind
from apps.model_registry import selectors as model_registry
from apps.model_registry.types import ModelKind
from apps.orchestration.models import Workflow, WorkflowVersion
from apps.orchestration.types.workflows import WorkflowProblem, WorkflowView
from apps.orchestration.workflows.catalog import PREFIX, get_workflow_unchecked
from apps.orchestration.workflows.checking import check_definition
from apps.orchestration.workflows.documents import Document, Unreadable, read_document
from apps.orchestration.workflows.reading import read_definition
from apps.tools import selectors as tools
from apps.tools.types import ToolView
from octavo.kernel import audit, ids
from octavo.kernel.errors import Conflict, InvalidInput, NotFound
from octavo.kernel.scope import Scope

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")

Source = str | Mapping[str, Any]


def save_workflow(*, scope: Scope, name: str, source: Source, create: bool) -> WorkflowView:
    """Save a new workflow (`create`) or a new version of an existing one; `source` is YAML or the
    definition itself.

    Raises `Conflict` when one to create exists, `NotFound` when one to change does not,
    `InvalidInput` with the position of each problem, and `Forbidden`.
    """
    workflow = Workflow.objects.filter(project_id=scope.project_id, name=name).first()
    resource = Resource(
        kind=ResourceKind.WORKFLOW, id=workflow.id if workflow else ids.new(), name=name
    )
    decisions.check(scope=scope, action=Action.WORKFLOW_MANAGE, resource=resource)
    _refuse_wrong_presence(name, workflow, create=create)
    document, problems = _read(scope, source, name)
    if not _NAME.fullmatch(name):
        detail = "use 1 to 63 lower-case letters, digits, '-' or '_'."
        problems = [WorkflowProblem(path="/name", detail=detail), *problems]
    if problems or document is None:
        raise InvalidInput(
            f"The workflow {name!r} cannot be saved: {_said(problems[0])}",
            errors=[asdict(problem) for problem in problems],
        )
    _write(scope, resource, workflow, document)
    return get_workflow_unchecked(scope=scope, name=name)


def list_problems(*, scope: Scope, source: Source, name: str = "") -> list[WorkflowProblem]:
    """Everything that keeps the definition from being saved; saves nothing.

    Raises `Forbidden` for a caller who may not save workflows.
    """
    project = Resource.project_of(scope)
    decisions.check(scope=scope, action=Action.WORKFLOW_MANAGE, resource=project)
    return _read(scope, source, name)[1]


def name_in(text: str) -> str:
    """The name that a definition as text gives itself; "" where it has none or cannot be read."""
    try:
        data = read_document(text).data
    except Unreadable:
        return ""
    name = data.get("name") if isinstance(data, dict) else None
    return name if isinstance(name, str) else ""


def _read(scope: Scope, source: Source, name: str) -> tuple[Document | None, list[WorkflowProblem]]:
    try:
        document = read_document(source) if isinstance(source, str) else Document(data=source)
    except Unreadable as error:
        return None, [error.problem]
    definition, problems = read_definition(document)
    if definition is None:
        return None, problems

    def find_tool(tool: str) -> ToolView | None:
        if tool == f"{PREFIX}{name}":
            return None  # a workflow that calls itself never ends by its own limits
        return tools.find_tool(scope=scope, name=tool)

    def has_route(route: str) -> bool:
        try:
            return model_registry.get_route(scope=scope, name=route).kind is ModelKind.CHAT
        except NotFound:
            return False

    return document, check_definition(
        definition, document, find_tool=find_tool, has_route=has_route
    )


def _said(problem: WorkflowProblem) -> str:
    at = f"line {problem.line}, column {problem.column}" if problem.line else problem.path or "/"
    return f"{at}: {problem.detail}"


def _refuse_wrong_presence(name: str, workflow: Workflow | None, *, create: bool) -> None:
    if create and workflow is not None:
        raise Conflict(
            f"Workflow {name!r} exists, at version {workflow.head}. PUT /api/v1/workflows/{name} "
            "makes a new version of it.",
            head=workflow.head,
        )
    if not create and workflow is None:
        raise NotFound(f"There is no workflow {name!r}. POST /api/v1/workflows creates it.")


@transaction.atomic
def _write(scope: Scope, resource: Resource, workflow: Workflow | None, document: Document) -> None:
    locked = (
        Workflow.objects.select_for_update().filter(id=workflow.id).first() if workflow else None
    )
    number = locked.head + 1 if locked else 1
    if locked is None:
        locked = _create(scope, resource)
    WorkflowVersion.objects.create(
        workflow=locked,
        number=number,
        definition=document.data,
        source=document.source,
        saved_by=scope.principal.name,
    )
    Workflow.objects.filter(id=locked.id).update(head=number)
    audit.record(
        scope=scope,
        action=Action.WORKFLOW_MANAGE,
        target=ids.encode(ids.Kind.WORKFLOW, locked.id),
        payload={"name": resource.name, "version": number},
    )


def _create(scope: Scope, resource: Resource) -> Workflow:
    try:
        with transaction.atomic():
            return Workflow.objects.create(
                id=resource.id,
                organisation_id=scope.organisation_id,
                team_id=scope.team_id,
                project_id=scope.project_id,
                name=resource.name,
                head=1,
            )
    except IntegrityError:
        raise Conflict(
            f"Workflow {resource.name!r} was created just now by someone else."
        ) from None
