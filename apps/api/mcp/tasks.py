"""The tasks extension over durable runs: an agent's run as a task that any process can answer for.

A task id is the run's id and a seal over it and the caller, so that another caller's task does not
exist and no process has to remember whose it is.
https://modelcontextprotocol.io/extensions/tasks (SEP-2663)

working          queued, running, paused, or waiting for something the client cannot give
input_required   an approval that the person behind the key may decide
completed        the agent answered, or said why it could not (`isError`)
failed           Octavo itself gave up: the run crashed its workers
cancelled        somebody cancelled the run
"""

import base64
import hashlib
import hmac
from collections.abc import Mapping
from typing import Any
from uuid import UUID

import mcp_types as t
from django.conf import settings
from mcp.server import Server
from mcp.shared.exceptions import MCPError
from mcp_types.version import MODERN_PROTOCOL_VERSIONS
from pydantic import Field, TypeAdapter, ValidationError

from apps.api.mcp import answers, asking, waiting
from apps.api.mcp.callers import Context, caller_of
from apps.orchestration.services import control
from apps.orchestration.types.runs import RunStatus, RunView
from octavo.kernel import ids, io
from octavo.kernel.clock import rfc3339
from octavo.kernel.errors import Conflict, NotFound
from octavo.kernel.scope import Scope

EXTENSION = "io.modelcontextprotocol/tasks"
POLL_MS = 1000
TTL_MS = 24 * 3600 * 1000
_DONE = {"resultType": "complete"}
_RESPONSE: TypeAdapter[t.ElicitResult] = TypeAdapter(t.ElicitResult)
_NAMED_BY = "mcp-name"


class TaskParams(t.RequestParams):
    task_id: str = Field(alias="taskId")


class UpdateParams(TaskParams):
    input_responses: dict[str, Any] = Field(alias="inputResponses", default_factory=dict)


def add_to(server: Server[Any]) -> None:
    server.extensions[EXTENSION] = {}
    server.add_request_handler("tasks/get", TaskParams, get_task)
    server.add_request_handler("tasks/update", UpdateParams, update_task)
    server.add_request_handler("tasks/cancel", TaskParams, cancel_task)


def is_declared(context: Context) -> bool:
    """Whether the client says in this request that it understands tasks."""
    capabilities = context.session.client_capabilities
    extensions = capabilities.extensions if capabilities else None
    is_new = context.protocol_version in MODERN_PROTOCOL_VERSIONS
    return is_new and extensions is not None and EXTENSION in extensions


def created(scope: Scope, run: RunView) -> dict[str, Any]:
    """What a call answers whose run goes on as a task."""
    return _base(scope, run, "working") | {"resultType": "task"}


async def get_task(context: Context, params: TaskParams) -> dict[str, Any]:
    scope, run_id = _task_of(context, params)
    return await io.db(_detailed, scope, run_id)


async def update_task(context: Context, params: UpdateParams) -> dict[str, Any]:
    """Answers to what the task asks; those that nothing asks for are left alone."""
    scope, run_id = _task_of(context, params)
    await io.db(_take_answers, scope, run_id, params.input_responses)
    return _DONE


async def cancel_task(context: Context, params: TaskParams) -> dict[str, Any]:
    scope, run_id = _task_of(context, params)
    await io.db(_cancel, scope, run_id)
    return _DONE


def _task_of(context: Context, params: TaskParams) -> tuple[Scope, UUID]:
    """Raises `MCPError` for a client that does not know tasks, and for a task not its own."""
    if not is_declared(context):
        raise MCPError(
            t.MISSING_REQUIRED_CLIENT_CAPABILITY,
            f"Declare the extension {EXTENSION} in this request to use tasks.",
            {"requiredCapabilities": {"extensions": {EXTENSION: {}}}},
        )
    assert context.request is not None  # noqa: S101  every request comes over HTTP
    if context.request.headers.get(_NAMED_BY, params.task_id) != params.task_id:
        raise MCPError(t.HEADER_MISMATCH, "The Mcp-Name header does not name the task in the body.")
    scope = caller_of(context).scope
    run_id = _open_id(scope, params.task_id)
    if run_id is None:
        raise MCPError(t.INVALID_PARAMS, f"There is no task {params.task_id!r} of yours.")
    return scope, run_id


def _task_id(scope: Scope, run_id: UUID) -> str:
    return f"{ids.encode(ids.Kind.RUN, run_id)}.{_seal(scope, run_id)}"


def _open_id(scope: Scope, task_id: str) -> UUID | None:
    name, _, seal = task_id.partition(".")
    try:
        run_id = ids.decode(ids.Kind.RUN, name)
    except NotFound:
        return None
    is_own = hmac.compare_digest(seal.encode(), _seal(scope, run_id).encode())
    return run_id if is_own else None


def _seal(scope: Scope, run_id: UUID) -> str:
    about = f"mcp-task:{scope.project_id}:{scope.principal.public_id}:{run_id}"
    tag = hmac.digest(settings.SECRET_KEY.encode(), about.encode(), hashlib.sha256)
    return base64.urlsafe_b64encode(tag[:16]).decode().rstrip("=")


def _detailed(scope: Scope, run_id: UUID) -> dict[str, Any]:
    run = waiting.read_run(scope, run_id)
    question = asking.find_question(scope=scope, run=run)
    status, more = "working", dict[str, Any]()
    if question is not None and question.is_for_caller:
        form = t.ElicitRequest(params=asking.form(question))
        asked = {ids.encode(ids.Kind.APPROVAL, question.approval.id): _dump(form)}
        status, more = "input_required", {"inputRequests": asked}
    elif question is not None:
        more = {"statusMessage": f"Waits for an approval: {answers.console_url(run)}"}
    elif run.status is RunStatus.CANCELLED:
        status = "cancelled"
    elif run.status is RunStatus.QUARANTINED:
        detail = (run.error or {}).get("detail", "The run was set aside.")
        status, more = "failed", {"error": {"code": t.INTERNAL_ERROR, "message": detail}}
    elif run.status.is_final:
        status, more = "completed", {"result": _dump(answers.of_agent(run))}
    return _base(scope, run, status) | more | _DONE


def _base(scope: Scope, run: RunView, status: str) -> dict[str, Any]:
    changed = run.finished_at or (run.waiting_on.since if run.waiting_on else run.started_at)
    return {
        "taskId": _task_id(scope, run.id),
        "status": status,
        "createdAt": rfc3339(run.created_at),
        "lastUpdatedAt": rfc3339(changed or run.created_at),
        "ttlMs": TTL_MS,
        "pollIntervalMs": POLL_MS,
    }


def _dump(model: t.ElicitRequest | t.CallToolResult) -> dict[str, Any]:
    return model.model_dump(by_alias=True, mode="json", exclude_none=True)


def _take_answers(scope: Scope, run_id: UUID, responses: Mapping[str, Any]) -> None:
    question = asking.find_question(scope=scope, run=waiting.read_run(scope, run_id))
    if question is None:
        return
    given = responses.get(ids.encode(ids.Kind.APPROVAL, question.approval.id))
    try:
        response = _RESPONSE.validate_python(given)
    except ValidationError:
        return
    asking.decide(scope=scope, approval=question.approval, response=response)


def _cancel(scope: Scope, run_id: UUID) -> None:
    try:
        control.cancel_run(scope=scope, run_id=run_id)
    except Conflict:  # it has ended, which no cancellation changes
        return
