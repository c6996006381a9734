"""The suite's resources, prompts and completions."""

from typing import Any

import mcp_types as t

from tests.conformance.mcp.fixture_rounds import ask, filled, form
from tests.conformance.mcp.fixture_tools import PIXEL, shown

RESOURCES = (
    t.Resource(uri="test://static-text", name="static-text", mime_type="text/plain"),
    t.Resource(uri="test://static-binary", name="static-binary", mime_type="image/png"),
    t.Resource(uri="test://watched-resource", name="watched-resource", mime_type="text/plain"),
)
TEMPLATE = t.ResourceTemplate(
    uri_template="test://template/{id}/data", name="template", mime_type="application/json"
)
_TEXTS = {
    "test://static-text": "This is the content of the static text resource.",
    "test://watched-resource": "Watched.",
}


def find_resource(uri: str) -> t.ReadResourceResult | None:
    if uri == "test://static-binary":
        blob = t.BlobResourceContents(uri=uri, mime_type="image/png", blob=PIXEL)
        return t.ReadResourceResult(contents=[blob])
    content, kind = _TEXTS.get(uri), "text/plain"
    if uri.startswith("test://template/"):
        number = uri.split("/")[3]
        content = f'{{"id":"{number}","templateTest":true,"data":"Data for ID: {number}"}}'
        kind = "application/json"
    if content is None:
        return None
    return t.ReadResourceResult(
        contents=[t.TextResourceContents(uri=uri, mime_type=kind, text=content)]
    )


def _prompt(name: str, *arguments: str) -> t.Prompt:
    return t.Prompt(
        name=name,
        description=name,
        arguments=[t.PromptArgument(name=argument, required=True) for argument in arguments],
    )


PROMPTS = (
    _prompt("test_simple_prompt"),
    _prompt("test_prompt_with_arguments", "arg1", "arg2"),
    _prompt("test_prompt_with_embedded_resource", "resourceUri"),
    _prompt("test_prompt_with_image"),
    _prompt("test_input_required_result_prompt"),
)


async def list_prompts(context: Any, params: Any) -> t.ListPromptsResult:
    return t.ListPromptsResult(prompts=list(PROMPTS), ttl_ms=1000, cache_scope="public")


async def get_prompt(context: Any, params: t.GetPromptRequestParams) -> Any:
    given = params.arguments or {}
    match params.name:
        case "test_simple_prompt":
            return _said("This is a simple prompt for testing.")
        case "test_prompt_with_arguments":
            return _said(f"Prompt with arguments: arg1='{given['arg1']}', arg2='{given['arg2']}'")
        case "test_prompt_with_embedded_resource":
            content = "Embedded resource content for testing."
            resource = shown(given["resourceUri"], "text/plain", content)
            return _said(resource, "Please process the embedded resource above.")
        case "test_prompt_with_image":
            image = t.ImageContent(data=PIXEL, mime_type="image/png")
            return _said(image, "Please analyze the image above.")
    found = filled(params, "user_context", "context")
    if found is None:
        return ask(user_context=form("What context should the prompt use?", "context"))
    return _said(f"Context: {found}")


def _said(*parts: Any) -> t.GetPromptResult:
    contents = [t.TextContent(text=part) if isinstance(part, str) else part for part in parts]
    return t.GetPromptResult(
        messages=[t.PromptMessage(role="user", content=content) for content in contents]
    )


async def complete(context: Any, params: Any) -> t.CompleteResult:
    return t.CompleteResult(completion=t.Completion(values=[], total=0, has_more=False))


async def acknowledge(context: Any, params: Any) -> t.EmptyResult:
    return t.EmptyResult()
