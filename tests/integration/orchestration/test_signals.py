"""Signals are kept until they are asked for, in order, and each is taken once."""

from typing import Any

import pytest

from apps.orchestration import inbox
from apps.orchestration.services import control
from apps.orchestration.types.runs import EventType, RunStatus
from octavo.kernel.errors import Conflict, InvalidInput
from tests import runs
from tests.runs import Bench

AWAIT = ["await_signal", {"name": "paid"}]


def _told(bench: Bench, run_id: Any) -> list[str]:
    found = runs.events(bench.scope, run_id)
    return [e.data["message"]["content"] for e in found if e.type is EventType.TOOL_ANSWERED]


def test_signals_are_kept_taken_in_order_and_waited_for(bench: Bench) -> None:
    runs.save(bench.scope, tools=("await_signal",))
    run = runs.start(bench.scope, calls=[AWAIT, AWAIT, AWAIT], answer="done")
    for name, payload in (("paid", 1), ("sent", 9), ("paid", {"n": 2})):
        control.signal_run(scope=bench.scope, run_id=run.id, name=name, payload=payload)
    waiting = runs.advance(bench.scope, run.id)
    assert waiting.waiting_on is not None
    assert (waiting.waiting_on.kind, waiting.waiting_on.id) == ("signal", "paid")
    assert _told(bench, run.id) == ["1", '{"n":2}']

    control.signal_run(scope=bench.scope, run_id=run.id, name="sent", payload=None)
    assert runs.advance(bench.scope, run.id).status is RunStatus.WAITING
    control.signal_run(scope=bench.scope, run_id=run.id, name="paid", payload="last")
    assert runs.advance(bench.scope, run.id).status is RunStatus.SUCCEEDED
    assert _told(bench, run.id)[-1] == '"last"'
    with pytest.raises(Conflict):
        control.signal_run(scope=bench.scope, run_id=run.id, name="paid")


def test_a_signal_that_does_not_come_is_waited_for_no_longer_than_asked(bench: Bench) -> None:
    runs.save(bench.scope, tools=("await_signal",))
    patient = ["await_signal", {"name": "paid", "timeout_seconds": 3600}]
    run = runs.start(bench.scope, calls=[patient], answer="done")
    waiting = runs.advance(bench.scope, run.id)
    assert waiting.waiting_on is not None
    assert waiting.waiting_on.until is not None
    bench.rows("UPDATE timer SET fire_at = now() WHERE run_id = %s RETURNING 1", run.id)
    bench.rows(
        "UPDATE event SET data = jsonb_set(data, '{until}', to_jsonb(now())) "
        "WHERE run_id = %s AND type = 'timer_started' RETURNING 1",
        run.id,
    )
    assert inbox.fire_timers() == 1
    assert runs.advance(bench.scope, run.id).status is RunStatus.SUCCEEDED
    assert _told(bench, run.id) == ["No signal 'paid' came in time."]


def test_a_signal_needs_a_name_and_room(bench: Bench) -> None:
    runs.save(bench.scope)
    run = runs.start(bench.scope)
    for name, payload in ((" ", None), ("x" * 201, None), ("big", "x" * 200_000)):
        with pytest.raises(InvalidInput):
            control.signal_run(scope=bench.scope, run_id=run.id, name=name, payload=payload)
