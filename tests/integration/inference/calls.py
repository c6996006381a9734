"""What the tests of chat calls send, and what they look up afterwards."""

from decimal import Decimal
from typing import Any

from django.db import connection

from apps.governance.services import budgets
from apps.governance.types import BudgetScope, Period
from apps.inference.types import ChatRequest, Message, ToolOffer

HELLO = ChatRequest(messages=(Message(role="user", content="Hello?"),), max_tokens=50)
TOOL = ToolOffer(
    name="weather",
    description="The weather of a city.",
    input_schema={"type": "object", "properties": {"city": {"type": "string"}}},
)
WITH_TOOL = ChatRequest(messages=HELLO.messages, tools=(TOOL,), max_tokens=50)


def rows(sql: str, *values: object) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(sql, values)
        return cursor.fetchall()


def limit_calls(scope: Any, calls: int) -> None:
    budgets.set_limit(
        scope=scope,
        on=BudgetScope.PROJECT,
        target_id=scope.project_id,
        period=Period.TOTAL,
        limit_calls=calls,
        limit_usd=Decimal(1),
    )


def budget_window() -> tuple[Any, ...]:
    return rows("SELECT reserved_usd, reserved_calls, spent_usd, spent_calls FROM budget_window")[0]
