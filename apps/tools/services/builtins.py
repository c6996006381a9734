"""Layers above offer their tools here, when the process starts."""

from apps.tools import registry, validation
from apps.tools.types import BuiltinTool, ToolSource


def register_builtin(tool: BuiltinTool) -> None:
    """Offer `tool` to agents. Called from `AppConfig.ready()` of the layer that owns it."""
    problem = validation.explain_schema(tool.input_schema)
    if problem:
        raise ValueError(f"The input schema of tool {tool.name!r} cannot be used: {problem}")
    registry.add(tool)


def register_source(*, prefix: str, source: ToolSource) -> None:
    """Offer what `source` lists to agents whose definition names tools with `prefix`."""
    registry.add_source(prefix, source)
