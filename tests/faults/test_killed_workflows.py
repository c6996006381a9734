"""A workflow's run whose worker is killed in the middle goes on elsewhere, and repeats nothing."""

from typing import Any

from apps.orchestration import selectors
from apps.orchestration.services import workflow_runs, workflows
from apps.orchestration.types.runs import RunStatus
from tests import runs, toolbox
from tests.runs import Bench

SETTINGS = {"DJANGO_SETTINGS_MODULE": "tests.settings", "OCTAVO_LEASE_SECONDS": "3"}
ITEMS = 12
GRAPH = """
nodes:
  - id: each
    kind: map
    over: input.items
    concurrency: 3
    body:
      nodes:
        - {id: count, kind: tool, tool: box_count, arguments: {n: "{{ item }}"}}
        - {id: send, kind: tool, tool: box_keyed, arguments: {n: "{{ item }}", seconds: 0.3}}
      edges: [{from: count, to: send}]
  - {id: last, kind: tool, tool: box_look, arguments: {n: "{{ size(nodes.each.data) }}"}}
edges: [{from: each, to: last}]
"""


def test_a_killed_workflow_goes_on_and_repeats_no_effect(bench: Bench, processes: Any) -> None:
    workflows.save_workflow(scope=bench.scope, name="many", source=GRAPH, create=True)
    workers = [processes.worker(queues="runs", threads=2, timeout=90, **SETTINGS) for _ in range(2)]
    run = workflow_runs.start_workflow(
        scope=bench.scope, workflow="many", input={"items": list(range(ITEMS))}
    )
    runs.eventually(lambda: len(toolbox.read_trail()) >= 4, within=60)
    owner = bench.rows("SELECT owner FROM run")[0][0]
    next(worker for worker in workers if owner.endswith(f":{worker.pid}")).kill()

    def view() -> Any:
        return selectors.get_run(scope=bench.scope, run_id=run.id)

    runs.eventually(lambda: view().status.is_final, within=60)
    assert view().status is RunStatus.SUCCEEDED, view().error
    assert view().output["text"] == f"saw {ITEMS}"
    assert bench.rows("SELECT count(*) FROM toolbox_count") == [(ITEMS,)]
    keys = {step: key for _, _, step, key in toolbox.read_trail() if step.endswith(".send")}
    assert len(set(keys.values())) == len(keys) == ITEMS
