"""Wherever a recorded run is forked, the fork begins in the state that the run was in there."""

from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from apps.agents.services import definitions
from apps.context.services import spaces
from apps.orchestration import activation, replaying
from apps.orchestration.agent_loop import AgentLoop
from apps.orchestration.models import STEP_RESULTS
from apps.orchestration.services import forking, replay
from tests import histories, runs
from tests.runs import Bench

NAMES = ["approved_with_other_arguments", "recalled", "retried", "asked_and_waited", "doubted"]


def _store(bench: Bench, history: histories.History) -> Any:
    """The history as a run of an agent of its own."""
    assert history.definition is not None
    name = history.name.replace("_", "-")
    definitions.save_agent(scope=bench.scope, name=name, definition=history.definition, create=True)
    run = runs.starting.start_run(scope=bench.scope, agent=name, input=history.run.input)
    histories.store(bench.superuser_url, bench.scope.organisation_id, run.id, history)
    return run.id


def _state(run_id: Any, upto: int | None = None) -> Any:
    """What decides the next step; progress on unfinished steps stays with the parent."""
    run, records = replay.read_journal(run_id)
    kept = records if upto is None else [r for r in records if r.seq <= upto]
    done = {record.step for record in kept if record.type in STEP_RESULTS}
    kept = [record for record in kept if record.seq == 1 or record.step in done]
    contents = activation.contents_of(run, kept)
    definition = activation.agents.get_definition(version_id=run.agent_version_id)
    state = replaying.folded(run, definition, kept, contents)
    assert isinstance(state.program, AgentLoop)
    return state.program.state, state.prompt, state.steps, state.paused


def test_a_fork_at_any_step_folds_to_the_state_of_its_parent(bench: Bench) -> None:
    spaces.create_space(scope=bench.scope, name="bakery")
    parents = {name: _store(bench, histories.read(name)) for name in NAMES}

    @settings(
        max_examples=20, deadline=None, suppress_health_check=list(HealthCheck), database=None
    )
    @given(data=st.data())
    def check(data: Any) -> None:
        name = data.draw(st.sampled_from(NAMES))
        results = [r for r in histories.read(name).records if r.type in STEP_RESULTS]
        record = data.draw(st.sampled_from(results))
        fork = forking.fork_run(scope=bench.scope, run_id=parents[name], at_step=record.step)
        assert _state(fork.id) == _state(parents[name], upto=record.seq)
        assert replay.replay_run(scope=bench.scope, run_id=fork.id).equal

    check()
