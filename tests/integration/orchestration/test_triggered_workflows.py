"""What starts runs of agents by itself starts runs of workflows too."""

import hashlib
import hmac
from typing import Any

import pytest

from apps.orchestration import selectors
from apps.orchestration.services import hooks, reacting, scheduling, workflows
from apps.orchestration.types.runs import RunStatus
from apps.orchestration.types.serving import RunFilter
from apps.orchestration.types.triggers import (
    EventSettings,
    FiringOutcome,
    FiringView,
    TriggerEvent,
    TriggerKind,
)
from octavo.kernel.errors import InvalidInput, NotFound
from tests import runs
from tests.runs import Bench

REPORT = {
    "input_schema": {"type": "object", "required": ["n"], "properties": {"n": {"type": "integer"}}},
    "nodes": [
        {"id": "look", "kind": "tool", "tool": "box_look", "arguments": {"n": "{{ input.n }}"}}
    ],
}
TELL = {"nodes": [{"id": "nap", "kind": "wait", "seconds": 1}]}


@pytest.fixture
def flows(bench: Bench) -> None:
    for name, source in (("report", REPORT), ("tell", TELL)):
        workflows.save_workflow(scope=bench.scope, name=name, source=source, create=True)


def schedule(bench: Bench, **fields: Any) -> Any:
    values = {"workflow": "report", "input": {"n": 4}, "cron": "0 9 * * *", **fields}
    return scheduling.create_schedule(scope=bench.scope, **values)


def fired(bench: Bench, trigger: Any) -> FiringView:
    (firing,) = selectors.list_firings(scope=bench.scope, kind=trigger.kind, trigger_id=trigger.id)
    return firing


def test_a_schedule_runs_a_workflow_and_the_runs_are_its_own(bench: Bench, flows: None) -> None:
    made = schedule(bench)
    assert (made.agent, made.workflow) == (None, "report")
    firing = scheduling.run_now(scope=bench.scope, schedule_id=made.id)
    assert firing.run_id is not None
    done = runs.advance(bench.scope, firing.run_id)
    assert (done.workflow, done.status) == ("report", RunStatus.SUCCEEDED)
    wanted = RunFilter(triggered_by=made.public_id)
    assert [run.id for run in selectors.list_runs(scope=bench.scope, wanted=wanted)] == [done.id]
    (listed,) = selectors.list_triggers(
        scope=bench.scope, kind=TriggerKind.SCHEDULE, workflow="report"
    )
    assert listed.id == made.id


def test_an_input_that_does_not_fit_is_a_failed_firing(bench: Bench, flows: None) -> None:
    made = schedule(bench, input={"n": "four"})
    firing = scheduling.run_now(scope=bench.scope, schedule_id=made.id)
    assert firing.outcome is FiringOutcome.FAILED
    assert "/input/n" in firing.reason


def test_the_end_of_a_workflow_s_run_starts_another(bench: Bench, flows: None) -> None:
    settings = EventSettings(on=TriggerEvent.RUN_FINISHED, workflow="report")
    trigger = reacting.create_event_trigger(scope=bench.scope, workflow="tell", settings=settings)
    firing = scheduling.run_now(scope=bench.scope, schedule_id=schedule(bench).id)
    assert firing.run_id is not None
    runs.advance(bench.scope, firing.run_id)
    assert reacting.react() == 1
    told = fired(bench, trigger)
    assert told.run_id is not None
    found = selectors.get_run(scope=bench.scope, run_id=told.run_id)
    assert isinstance(found.input, dict)
    assert (found.workflow, found.input["workflow"]) == ("tell", "report")
    chain = bench.rows("SELECT chain_depth FROM run WHERE id = %s", found.id)
    assert chain == [(1,)]


def test_what_comes_from_outside_taints_the_workflow_s_run(bench: Bench, flows: None) -> None:
    hook = hooks.create_hook(scope=bench.scope, workflow="report", input_path="/a")
    body = b'{"a": {"n": 1}}'
    mac = hmac.new(hook.secret.encode(), body, hashlib.sha256).hexdigest()
    signed = {"x-hub-signature-256": f"sha256={mac}"}
    delivered = hooks.receive(token=hook.token or "", body=body, headers=signed)
    first = runs.events(bench.scope, delivered.run_id)[0]
    assert first.data["tainted"] is True


def test_a_trigger_starts_one_thing_that_there_is(bench: Bench, flows: None) -> None:
    runs.save(bench.scope)
    for target in ({"agent": "worker-bee"}, {"workflow": ""}):
        with pytest.raises(InvalidInput, match="either an agent or a workflow") as refused:
            schedule(bench, **target)
        assert refused.value.errors[0]["path"] == "/agent"
    with pytest.raises(NotFound):
        schedule(bench, workflow="nothing")
    made = schedule(bench)
    changed = scheduling.change_schedule(
        scope=bench.scope, schedule_id=made.id, changes={"agent": "worker-bee"}
    )
    assert (changed.agent, changed.workflow) == ("worker-bee", None)
