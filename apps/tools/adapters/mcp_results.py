"""What an upstream answered, as text for a model: bounded, storable, and no more trusted than its
tool.
"""

import json
from collections.abc import Mapping
from typing import Any

import mcp_types as mcp

from apps.tools.types import ToolResult, ToolView

_MOST_STRUCTURED = 256 * 1024  # bytes of JSON kept beside the text
_MOST_DEPTH = 48


def result_of(answer: mcp.CallToolResult, tool: ToolView) -> ToolResult:
    """Texts joined; what is no text is described by its kind, size and type."""
    structured, note = _structured(answer.structured_content)
    text = "\n".join(filter(None, (*map(_block, answer.content), note)))
    if not text and structured is not None:
        text = json.dumps(structured, ensure_ascii=False)
    return ToolResult(
        text=_clean(text),
        structured=structured,
        is_error=answer.is_error,
        trust=tool.trust,
    )


def error_of(words: str, tool: ToolView) -> ToolResult:
    """The upstream's own words about what went wrong."""
    return ToolResult(text=_clean(words), is_error=True, trust=tool.trust)


def _block(block: mcp.ContentBlock) -> str:
    match block:
        case mcp.TextContent():
            return block.text
        case mcp.ImageContent() | mcp.AudioContent():
            return f"[{block.type}: {block.mime_type}, {_bytes(block.data):,} bytes]"
        case mcp.ResourceLink():
            kind = f", {block.mime_type}" if block.mime_type else ""
            return f"[resource: {block.title or block.name}, {block.uri}{kind}]"
        case mcp.EmbeddedResource():
            return _resource(block.resource)


def _resource(resource: mcp.TextResourceContents | mcp.BlobResourceContents) -> str:
    kind = resource.mime_type or "unknown type"
    if isinstance(resource, mcp.TextResourceContents):
        return f"[resource: {resource.uri}, {kind}]\n{resource.text}"
    return f"[resource: {resource.uri}, {kind}, {_bytes(resource.blob):,} bytes]"


def _bytes(encoded: str) -> int:
    return len(encoded) * 3 // 4 - encoded[-2:].count("=")


def _structured(value: Any) -> tuple[Mapping[str, Any] | None, str]:
    """The value as an object that can be stored, and a note when it cannot."""
    if value is None:
        return None, ""
    kept = _storable(value, _MOST_DEPTH)
    if len(json.dumps(kept)) > _MOST_STRUCTURED:
        size = _MOST_STRUCTURED // 1024
        return None, f"[structured content left out: it is larger than {size} KiB]"
    return (kept if isinstance(kept, dict) else {"result": kept}), ""


def _storable(value: Any, depth: int) -> Any:
    """JSON that PostgreSQL keeps and a reader of 64-bit numbers can read."""
    if not depth:
        return "[nested too deeply]"
    if isinstance(value, dict):
        return {_clean(str(k)): _storable(inner, depth - 1) for k, inner in value.items()}
    if isinstance(value, list):
        return [_storable(inner, depth - 1) for inner in value]
    if isinstance(value, str):
        return _clean(value)
    if isinstance(value, int | float) and not -(2**63) <= value < 2**63:
        return str(value)
    return value


def _clean(text: str) -> str:
    return text.replace("\0", "\ufffd").encode("utf-8", "replace").decode()
