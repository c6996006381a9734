"""The suite's tools that ask the client for more before they answer (`input_required`)."""

from typing import Any

import mcp_types as t
from mcp.shared.exceptions import MCPError

from tests.conformance.mcp.fixture_tools import text, tool


def form(message: str, field: str, kind: str = "string") -> t.ElicitRequest:
    schema = {"type": "object", "properties": {field: {"type": kind}}, "required": [field]}
    return t.ElicitRequest(
        params=t.ElicitRequestFormParams(message=message, requested_schema=schema)
    )


def sampling(message: str, tokens: int) -> t.CreateMessageRequest:
    said = t.SamplingMessage(role="user", content=t.TextContent(text=message))
    return t.CreateMessageRequest(
        params=t.CreateMessageRequestParams(messages=[said], max_tokens=tokens)
    )


def ask(state: str | None = None, **requests: Any) -> t.InputRequiredResult:
    return t.InputRequiredResult(input_requests=requests, request_state=state)


def filled(params: Any, key: str, field: str) -> Any:
    """What the form under `key` says; None when it is missing or does not fit."""
    response = (params.input_responses or {}).get(key)
    if not isinstance(response, t.ElicitResult) or response.action != "accept":
        return None
    value = (response.content or {}).get(field)
    return value if isinstance(value, str | bool) else None


@tool()
async def test_input_required_result_elicitation(context: Any, params: Any) -> Any:
    name = filled(params, "user_name", "name")
    if not isinstance(name, str):
        return ask(user_name=form("What is your name?", "name"))
    return text(f"Hello, {name}!")


@tool()
async def test_input_required_result_sampling(context: Any, params: Any) -> Any:
    answer = (params.input_responses or {}).get("capital_question")
    if answer is None:
        return ask(capital_question=sampling("What is the capital of France?", 100))
    return text(str(answer.content))


@tool()
async def test_input_required_result_list_roots(context: Any, params: Any) -> Any:
    answer = (params.input_responses or {}).get("client_roots")
    if answer is None:
        return ask(client_roots=t.ListRootsRequest())
    return text(*(str(root.uri) for root in answer.roots))


@tool()
async def test_input_required_result_request_state(context: Any, params: Any) -> Any:
    if params.request_state != "confirming":
        return ask("confirming", confirm=form("Please confirm", "ok", "boolean"))
    return text("state-ok")


@tool()
async def test_input_required_result_tampered_state(context: Any, params: Any) -> Any:
    return await test_input_required_result_request_state(context, params)


@tool()
async def test_input_required_result_multiple_inputs(context: Any, params: Any) -> Any:
    wanted = {"user_name", "greeting", "client_roots"}
    if params.request_state == "all" and wanted <= set(params.input_responses or {}):
        return text("complete")
    return ask(
        "all",
        user_name=form("What is your name?", "name"),
        greeting=sampling("Generate a greeting", 50),
        client_roots=t.ListRootsRequest(),
    )


@tool()
async def test_input_required_result_multi_round(context: Any, params: Any) -> Any:
    if params.request_state == "two" and filled(params, "step2", "color"):
        return text("complete")
    if params.request_state == "one" and filled(params, "step1", "name"):
        return ask("two", step2=form("Step 2: What is your favorite color?", "color"))
    return ask("one", step1=form("Step 1: What is your name?", "name"))


@tool()
async def test_input_required_result_capabilities(context: Any, params: Any) -> Any:
    declared = context.session.client_capabilities
    requests: dict[str, Any] = {}
    if declared is not None and declared.sampling is not None:
        requests["greeting"] = sampling("Generate a greeting", 50)
    if declared is not None and declared.elicitation is not None:
        requests["user_name"] = form("What is your name?", "name")
    if not requests:
        raise MCPError(t.MISSING_REQUIRED_CLIENT_CAPABILITY, "Declare one.", {})
    return ask(**requests) if not params.input_responses else text("complete")
