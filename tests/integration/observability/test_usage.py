"""Usage rows add up by run, and reading a scrape never depends on one broken gauge."""

import os
import subprocess
import sys
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from apps.model_registry.types import ModelKind
from apps.observability import metrics, selectors, services
from apps.observability.types import CallStatus, UsageTotal
from octavo.kernel import ids
from octavo.kernel.clock import now

ROOT = Path(__file__).resolve().parents[3]


def record(scope: Any, step: str, cost: str, status: CallStatus = CallStatus.OK) -> None:
    services.record_usage(
        scope=scope,
        step=step,
        route="default",
        provider="p",
        model="m",
        kind=ModelKind.CHAT,
        input_tokens=10,
        output_tokens=2,
        cost_usd=Decimal(cost),
        status=status,
        started_at=now() - timedelta(seconds=1),
        ended_at=now(),
    )


def test_the_calls_of_a_run_add_up_to_the_last_digit(installation: Any) -> None:
    run_id = ids.new()
    inside = installation.scope.acting_as(installation.scope.principal, run_id=run_id)
    for step in ("m1", "m2", "m3"):
        record(inside, step, "0.000000001")
    record(installation.scope, "m1", "5")
    assert selectors.get_usage_of_run(run_id=run_id) == UsageTotal(
        calls=3, input_tokens=30, output_tokens=6, cost_usd=Decimal("0.000000003")
    )
    views = selectors.list_usage_of_run(run_id=run_id)
    assert [view.step for view in views] == ["m1", "m2", "m3"]
    assert {view.run_id for view in views} == {run_id}


def test_a_run_without_calls_has_used_nothing(db: Any) -> None:
    assert selectors.get_usage_of_run(run_id=ids.new()) == UsageTotal()


def test_a_settled_call_is_counted_for_prometheus(installation: Any) -> None:
    before = sample('octavo_model_calls_total{kind="chat",model="m",provider="p",status="error"}')
    record(installation.scope, "m1", "0", CallStatus.ERROR)
    after = sample('octavo_model_calls_total{kind="chat",model="m",provider="p",status="error"}')
    assert after == before + 1


def sample(name: str) -> float:
    lines = metrics.render().decode().splitlines()
    return next((float(line.split()[-1]) for line in lines if line.startswith(name + " ")), 0.0)


def test_processes_that_share_a_folder_are_scraped_as_one(tmp_path: Path) -> None:
    count = (
        "from apps.observability import metrics; metrics.count_finished_run(status='done');"
        "print(metrics.render().decode())"
    )
    environment = os.environ | {
        "PROMETHEUS_MULTIPROC_DIR": str(tmp_path),
        "PYTHONPATH": f"{ROOT}:{ROOT / 'platform'}",
    }
    for total in ("1.0", "2.0"):
        done = subprocess.run(
            [sys.executable, "-c", count],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        assert f'octavo_runs_finished_total{{status="done"}} {total}' in done.stdout
