"""Expressions see what is in scope, always end, and give plain JSON."""

from typing import Any

import pytest

from apps.orchestration.workflows.expressions import (
    BadExpression,
    ExpressionFailed,
    compile_expression,
)
from apps.orchestration.workflows.rendering import parse_template, render

VALUES: dict[str, Any] = {
    "input": {"n": 3, "xs": [1, 2], "name": "a" * 40 + "!", "huge": 10**30, "nul": "a\0b\ud800"},
    "nodes.look": {"text": "saw it", "data": None, "status": "succeeded", "error": None},
}


def value(source: str) -> Any:
    return compile_expression(source, frozenset(VALUES)).evaluate(VALUES)


@pytest.mark.parametrize(
    ("source", "wanted"),
    [
        ("input.n + 1", 4),
        ("nodes.look.text + '!'", "saw it!"),
        ("has(input.nope) ? 1 : 2", 2),
        ("input.xs.map(x, {'v': x * 2})", [{"v": 2}, {"v": 4}]),
        ("nodes.look.data == null", True),
        ("timestamp('2020-01-01T00:00:00Z')", "2020-01-01T00:00:00Z"),
        ("duration('90s')", 90.0),
        ("input.huge > 5.0", True),
        ("input.nul", "a�b?"),
        ("input.name.matches('(a+)+$')", False),
    ],
)
def test_an_expression_gives_plain_data(source: str, wanted: Any) -> None:
    assert value(source) == wanted


@pytest.mark.parametrize(
    ("source", "column", "said"),
    [
        ("input.n +", 10, "Syntax error"),
        ("1 + 'a'", 3, "no matching overload"),
        ("true && nodes.lok.text == ''", 9, "`nodes.lok.text` is not known here"),
        ("nope(input)", 1, "`nope` is not known here"),
        ("(" * 400 + "1" + ")" * 400, 1, ""),
        ("1 +" * 2000 + "1", 1, "longer than"),
    ],
)
def test_what_cannot_work_is_refused_where_it_is_wrong(source: str, column: int, said: str) -> None:
    with pytest.raises(BadExpression) as caught:
        compile_expression(source, frozenset(VALUES))
    assert said in caught.value.detail
    assert caught.value.column == column


@pytest.mark.parametrize("source", ["input.nope", "1 / (input.n - 3)", "int('x')", "1.0 / 0.0"])
def test_an_expression_without_a_value_says_why(source: str) -> None:
    with pytest.raises(ExpressionFailed):
        value(source)


def test_work_is_bounded() -> None:
    names = frozenset({"input"})
    nested = compile_expression("input.map(x, input.map(y, x * y))", names)
    with pytest.raises(ExpressionFailed, match=r"[Bb]udget"):
        nested.evaluate({"input": list(range(200))})
    with pytest.raises(ExpressionFailed, match="at most 1000"):
        nested.evaluate({"input": list(range(1001))})


def test_a_text_that_is_one_expression_keeps_its_type() -> None:
    template = {
        "n": "{{ input.n }}",
        "text": "n is {{input.n}}, xs {{ input.xs }}",
        "map": "{{ {'a': {'b': '}}'}} }}",
        "plain": ["a } b", 5],
    }
    assert render(template, VALUES) == {
        "n": 3,
        "text": "n is 3, xs [1,2]",
        "map": {"a": {"b": "}}"}},
        "plain": ["a } b", 5],
    }
    with pytest.raises(BadExpression, match="never closed"):
        parse_template("a {{ b")
