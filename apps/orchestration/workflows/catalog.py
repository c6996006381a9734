"""The workflows of a project and their versions, asked of as agents are; and as tools of agents."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any
from uuid import UUID

from apps.governance.services import decisions
from apps.governance.types import Action, Resource, ResourceKind
from apps.orchestration.models import Workflow, WorkflowVersion
from apps.orchestration.types.workflows import WorkflowPicture, WorkflowView
from apps.orchestration.workflows.documents import Document, write_document
from apps.orchestration.workflows.picturing import picture
from apps.orchestration.workflows.reading import read_definition
from apps.orchestration.workflows.types import Definition
from apps.tools.types import Effect, Risk, ToolState, ToolView, Trust, Waits
from octavo.kernel.errors import NotFound
from octavo.kernel.scope import Scope

PREFIX = "workflow__"
_READS = (Action.RUN_READ, Action.WORKFLOW_MANAGE)
_INPUT = {
    "type": "object",
    "properties": {
        "input": {
            "type": ["string", "object"],
            "description": "What the workflow works on: text or an object.",
        }
    },
    "required": ["input"],
    "additionalProperties": False,
}


def get_workflow(*, scope: Scope, name: str, version: int | None = None) -> WorkflowView:
    """The newest version, or the one asked for. Raises `NotFound`, also for a caller who may not
    read the project.
    """
    if not _may_read(scope):
        raise _missing(name)
    return get_workflow_unchecked(scope=scope, name=name, version=version)


def get_workflow_unchecked(*, scope: Scope, name: str, version: int | None = None) -> WorkflowView:
    """The same for a service that decides by itself what the caller may do with it."""
    workflow = _row(scope, name)
    number = workflow.head if version is None else version
    row = WorkflowVersion.objects.filter(workflow=workflow, number=number).first()
    if row is None:
        raise NotFound(f"Workflow {name!r} has no version {number}: its newest is {workflow.head}.")
    return _view(workflow, row)


def get_version_id(*, workflow_id: UUID, version: int) -> UUID:
    """The id that a run pins."""
    rows = WorkflowVersion.objects.filter(workflow_id=workflow_id, number=version)
    return rows.values_list("id", flat=True).get()


def list_workflows(
    *, scope: Scope, limit: int = 50, before: UUID | None = None
) -> list[WorkflowView]:
    """Newest first, each at its newest version; none for a caller who may not read."""
    if not _may_read(scope):
        return []
    rows = Workflow.objects.filter(project_id=scope.project_id).order_by("-id")
    if before is not None:
        rows = rows.filter(id__lt=before)
    return _at_head(list(rows[:limit]))


def list_workflow_versions(
    *, scope: Scope, name: str, limit: int = 50, before: int | None = None
) -> list[WorkflowView]:
    """Newest version first. Raises `NotFound`."""
    if not _may_read(scope):
        raise _missing(name)
    workflow = _row(scope, name)
    rows = WorkflowVersion.objects.filter(workflow=workflow).order_by("-number")
    if before is not None:
        rows = rows.filter(number__lt=before)
    return [_view(workflow, row) for row in rows[:limit]]


def picture_workflow(*, scope: Scope, name: str, version: int | None = None) -> WorkflowPicture:
    """The graph of one version as it is drawn. Raises `NotFound`."""
    found = get_workflow(scope=scope, name=name, version=version)
    return picture(_definition(found.definition).graph)


def list_resources(*, scope: Scope) -> list[Resource]:
    """Every workflow of the project, for batch decisions."""
    rows = Workflow.objects.filter(project_id=scope.project_id).order_by("name")
    return [
        Resource(kind=ResourceKind.WORKFLOW, id=workflow_id, name=name)
        for workflow_id, name in rows.values_list("id", "name")
    ]


def list_tools(*, scope: Scope, name: str | None = None) -> list[ToolView]:
    """Every workflow as a tool, by name, or the one whose tool has this name."""
    rows = Workflow.objects.filter(project_id=scope.project_id)
    if name is not None:
        rows = rows.filter(name=name.removeprefix(PREFIX))
    return [_tool(view) for view in _at_head(list(rows.order_by("name")))]


@lru_cache(maxsize=512)
def get_definition(*, version_id: UUID) -> Definition:
    """What a run is pinned to. Versions never change, so this may be remembered."""
    row = WorkflowVersion.objects.only("definition").get(id=version_id)
    return _definition(row.definition)


def _definition(stored: Mapping[str, Any]) -> Definition:
    """Stored definitions were checked when they were saved."""
    definition, problems = read_definition(Document(data=stored))
    if definition is None:
        said = "; ".join(f"{problem.path}: {problem.detail}" for problem in problems)
        raise ValueError(f"A stored workflow cannot be read: {said}")
    return definition


def _tool(view: WorkflowView) -> ToolView:
    """What its run does is decided there, so the hand-over itself only reads."""
    about = f" {view.description}" if view.description else ""
    return ToolView(
        id=view.id,
        name=f"{PREFIX}{view.name}",
        description=f"Run the workflow {view.name!r} and wait for its result.{about}",
        input_schema=_INPUT,
        risk=Risk.READ,
        egress=False,
        effect=Effect.PURE,
        trust=Trust.UNTRUSTED,
        server="workflow",
        state=ToolState.APPROVED,
        definition_hash="",
        waits=Waits.RUN,
    )


def _at_head(workflows: Sequence[Workflow]) -> list[WorkflowView]:
    rows = WorkflowVersion.objects.filter(workflow__in=workflows).order_by("workflow_id", "-number")
    heads = {row.workflow_id: row for row in rows.distinct("workflow_id")}
    return [_view(workflow, heads[workflow.id]) for workflow in workflows]


def _row(scope: Scope, name: str) -> Workflow:
    workflow = Workflow.objects.filter(project_id=scope.project_id, name=name).first()
    if workflow is None:
        raise _missing(name)
    return workflow


def _missing(name: str) -> NotFound:
    return NotFound(
        f"There is no workflow {name!r} that you may read. GET /api/v1/workflows lists those there "
        "are."
    )


def _may_read(scope: Scope) -> bool:
    """Whoever may see what runs did, or may save workflows."""
    return any(
        scope.project_id
        in decisions.allowed_ids(scope=scope, action=action, kind=ResourceKind.PROJECT)
        for action in _READS
    )


def _view(workflow: Workflow, row: WorkflowVersion) -> WorkflowView:
    return WorkflowView(
        id=workflow.id,
        name=workflow.name,
        version=row.number,
        description=row.definition.get("description", ""),
        definition=row.definition,
        source=row.source or write_document(row.definition),
        saved_by=row.saved_by,
        created_at=row.created_at,
    )
