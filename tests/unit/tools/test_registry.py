"""Built-in tools have one name, one identity and one definition hash in every process."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from apps.tools import registry
from apps.tools.selectors import is_granted
from apps.tools.types import BuiltinTool, Effect, Risk, ToolResult


def noop(*_: Any) -> ToolResult:
    return ToolResult(text="")


TOOL = BuiltinTool(
    name="unit_noop",
    description="Does nothing.",
    input_schema={"type": "object"},
    handler=noop,
    risk=Risk.READ,
    egress=False,
    effect=Effect.PURE,
)


def test_the_hash_covers_what_a_model_is_shown_and_nothing_else() -> None:
    base = registry.definition_hash(TOOL)
    assert registry.definition_hash(replace(TOOL, description="Does something.")) != base
    assert registry.definition_hash(replace(TOOL, input_schema={"type": "string"})) != base
    assert registry.definition_hash(replace(TOOL, timeout=timedelta(seconds=1))) == base


def test_two_tools_cannot_share_a_name() -> None:
    registry.add(TOOL)
    registry.add(TOOL)
    with pytest.raises(ValueError, match="unit_noop"):
        registry.add(replace(TOOL, description="Another."))


@pytest.mark.parametrize(
    ("name", "patterns", "granted"),
    [
        ("context_search", ["context_search"], True),
        ("context_search", ["context_*"], True),
        ("context_search", ["*"], True),
        ("context_search", ["context"], False),
        ("context_search", ["Context_*"], False),
        ("context_search", ["context_[a-z]*"], False),
        ("context_search", [], False),
    ],
)
def test_only_a_trailing_star_is_a_pattern(name: str, patterns: list[str], granted: bool) -> None:
    assert is_granted(name, patterns) is granted
