"""Eight processes on one budget: reserved, settled, and never one call too many."""

import json
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

from apps.governance import selectors
from apps.governance.services import budgets
from apps.governance.types import Amount, BudgetScope, Limits, Period

ROOT = Path(__file__).resolve().parents[3]
WORK = """
import json, sys
from decimal import Decimal
from uuid import UUID
import django
django.setup()
from apps.accounts import selectors as accounts
from apps.governance.services import budgets
from apps.governance.types import Amount
from octavo.kernel import ids
from octavo.kernel.errors import BudgetExceeded

scope = accounts.system_scope(project_id=UUID(sys.argv[1]))
worst = Amount(usd=Decimal("0.01"), tokens=10, calls=1)
used = Amount(usd=Decimal("0.007"), tokens=7, calls=1)
passed = 0
for attempt in range(500):
    try:
        reservation = budgets.reserve(scope=scope, amount=worst)
    except BudgetExceeded:
        continue
    if attempt % 5 == 4:
        budgets.release(reservation=reservation)
        continue
    budgets.settle(reservation=reservation, actual=used, usage_id=ids.new())
    passed += 1
print(json.dumps(passed))
"""


def test_eight_processes_never_overshoot_and_lose_nothing(installation: Any) -> None:
    scope = installation.scope
    grounds = {BudgetScope.PROJECT: scope.project_id, BudgetScope.TEAM: scope.team_id}
    limits = {
        BudgetScope.PROJECT: Limits(calls=100),
        BudgetScope.TEAM: Limits(tokens=2_000, usd=Decimal(1)),
    }
    for on, target in grounds.items():
        budgets.create_budget(
            scope=scope, on=on, target_id=target, period=Period.TOTAL, limits=limits[on]
        )
    command = [sys.executable, "-c", WORK, str(scope.project_id)]
    started = [
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT, env=environment())
        for _ in range(8)
    ]
    passed = sum(json.loads(process.communicate(timeout=300)[0]) for process in started)
    assert passed == 100
    spent = Amount(usd=Decimal("0.7"), tokens=700, calls=100)
    for view in selectors.list_budgets(scope=scope):
        assert (view.spent, view.reserved) == (spent, Amount())


def environment() -> dict[str, str]:
    import os

    return os.environ | {"PYTHONPATH": f"{ROOT / 'platform'}:{ROOT}"}
