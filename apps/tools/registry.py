"""Built-in tools of this process: registered at start by the layers that own them."""

import hashlib
from typing import Any
from uuid import NAMESPACE_OID, UUID, uuid5

import rfc8785

from apps.tools.types import BuiltinTool, ToolSource, ToolState, ToolView

_tools: dict[str, BuiltinTool] = {}
_views: dict[str, ToolView] = {}
_sources: dict[str, ToolSource] = {}
_NAMESPACE = uuid5(NAMESPACE_OID, "octavo.builtin-tool")


def add(tool: BuiltinTool) -> None:
    """Raises `ValueError` when another tool has the name: names are what policies rest on."""
    if _tools.get(tool.name, tool) is not tool:
        raise ValueError(f"Two built-in tools are named {tool.name!r}. Rename one of them.")
    if sum(way is not None for way in (tool.handler, tool.send, tool.waits)) != 1:
        raise ValueError(f"The built-in tool {tool.name!r} needs one of handler, send and waits.")
    _tools[tool.name] = tool
    _views[tool.name] = _view(tool)


def add_source(prefix: str, source: ToolSource) -> None:
    """Ask `source` about every tool whose name begins with `prefix`."""
    _sources[prefix] = source


def source_of(name: str) -> ToolSource | None:
    """Who knows the tools whose names, or patterns, begin like this."""
    return next((s for prefix, s in _sources.items() if name.startswith(prefix)), None)


def has(name: str) -> bool:
    return name in _tools


def tool(name: str) -> BuiltinTool:
    return _tools[name]


def view(name: str) -> ToolView:
    return _views[name]


def views() -> list[ToolView]:
    """By name, so that prompts which offer them stay the same."""
    return [_views[name] for name in sorted(_views)]


def _view(tool: BuiltinTool) -> ToolView:
    return ToolView(
        id=tool_id(tool.name),
        name=tool.name,
        description=tool.description,
        input_schema=tool.input_schema,
        risk=tool.risk,
        egress=tool.egress,
        effect=tool.effect,
        trust=tool.trust,
        server="octavo",
        state=ToolState.APPROVED,
        definition_hash=definition_hash(tool),
        output_schema=tool.output_schema,
        timeout=tool.timeout,
        is_remote=tool.send is not None,
        waits=tool.waits,
    )


def tool_id(name: str) -> UUID:
    """The same in every process and installation, as a built-in tool has no row."""
    return uuid5(_NAMESPACE, name)


def definition_hash(tool: BuiltinTool) -> str:
    """SHA-256 over RFC 8785 canonical JSON of what a model is shown."""
    shown: Any = {
        "name": tool.name,
        "description": tool.description,
        "input_schema": dict(tool.input_schema),
    }
    return hashlib.sha256(rfc8785.dumps(shown)).hexdigest()
