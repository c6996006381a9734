"""However many processes call at once, a budget lets through what it holds, and no call more."""

import json
import subprocess
import sys
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any

from tests.conformance.openai.behaviours import behaviour
from tests.conformance.openai.conftest import Edge

HAMMER = Path(__file__).with_name("hammer.py")
PROCESSES = 8


def hammer(edge: Edge, attempts: int) -> Counter[str]:
    """How many calls of all processes together had which status."""
    command = [sys.executable, str(HAMMER), edge.url, edge.key, str(attempts)]
    started = [
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(PROCESSES)
    ]
    found: Counter[str] = Counter()
    for process in started:
        output, _ = process.communicate(timeout=600)
        found.update(json.loads(output))
    return found


def limit(edge: Edge, **limits: Any) -> None:
    from apps.governance.services import budgets
    from apps.governance.types import BudgetScope, Limits, Period

    budgets.create_budget(
        scope=edge.scope,
        on=BudgetScope.PROJECT,
        target_id=edge.scope.project_id,
        period=Period.TOTAL,
        limits=Limits(**limits),
    )


@behaviour("budget.exact")
def test_eight_processes_get_exactly_what_the_budget_holds(edge: Edge) -> None:
    limit(edge, calls=100)
    assert hammer(edge, 500) == {"200": 100, "429": 3900}
    assert len(edge.upstream.seen) == 100
    assert edge.rows("SELECT spent_calls, reserved_calls FROM budget_window") == [(100, 0)]
    assert edge.rows("SELECT count(*), count(DISTINCT id) FROM usage WHERE status = 'ok'") == [
        (100, 100)
    ]


@behaviour("budget.ledger")
def test_tokens_and_dollars_are_never_overshot_and_add_up_to_the_usage(edge: Edge) -> None:
    most_tokens, most_usd = 1000, Decimal("0.0092")
    limit(edge, tokens=most_tokens, usd=most_usd)
    found = hammer(edge, 40)
    assert set(found) == {"200", "429"}
    ((tokens, usd, *reserved),) = edge.rows(
        "SELECT spent_tokens, spent_usd, reserved_tokens, reserved_usd FROM budget_window"
    )
    assert reserved == [0, 0]
    assert tokens <= most_tokens
    assert usd <= most_usd
    assert tokens == 18 * found["200"]
    assert edge.rows("SELECT sum(input_tokens + output_tokens), sum(cost_usd) FROM usage") == [
        (tokens, usd)
    ]
