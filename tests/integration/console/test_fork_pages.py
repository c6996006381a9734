"""A run is forked from its page, and two runs are looked at side by side."""

from typing import Any

from django.test import Client

from octavo.kernel import ids
from tests import runs
from tests.runs import Bench


def test_a_step_is_forked_from_its_page_and_compared(admin: Client, bench: Bench) -> None:
    from apps.orchestration import selectors

    runs.save(bench.scope)
    run = runs.start(bench.scope, calls=[["box_look", {"n": 1}]], answer="done")
    runs.advance(bench.scope, run.id)
    page = f"/runs/{ids.encode(ids.Kind.RUN, run.id)}"
    events = runs.events(bench.scope, run.id)
    anchor = next(f"s{event.seq}" for event in events if event.step == "tools.1.0")
    opened = admin.get(f"{page}/steps/{anchor}").content.decode()
    assert f'href="{page}/fork?step=tools.1.0"' in opened

    form = admin.get(f"{page}/fork?step=tools.1.0").content.decode()
    assert "saw 1" in form
    same: dict[str, Any] = {"input": run.input, "version": "1", "route": ""}
    wrong = admin.post(f"{page}/fork?step=tools.1.0", {**same, "route": "nowhere"})
    assert wrong.status_code == 404
    assert "nowhere" in wrong.content.decode()
    made = admin.post(f"{page}/fork?step=tools.1.0", {**same, "output": "saw 99"})
    assert made.status_code == 302, made.content.decode()[:3000]
    fork = made.headers["Location"].rpartition("/")[2]
    assert selectors.get_run(scope=bench.scope, run_id=ids.decode(ids.Kind.RUN, fork)).forked_from

    shown = admin.get(f"/runs/{fork}").content.decode()
    compare = f"/runs/compare?a={page.rpartition('/')[2]}&amp;b={fork}"
    assert compare in shown
    assert "data-inherited" in shown
    sides = admin.get(compare.replace("&amp;", "&")).content.decode()
    assert "part at <code>tools.1.0</code>" in sides
    assert "saw 99" in sides
    assert admin.get("/runs/compare?a=x&b=y").status_code == 404
    assert admin.get(f"{page}/fork?step=nothing").status_code == 404


def test_a_run_of_a_workflow_is_forked_at_a_node(admin: Client, bench: Bench) -> None:
    from apps.orchestration import selectors
    from apps.orchestration.services import workflow_runs, workflows

    source = (
        "nodes:\n"
        '  - {id: look, kind: tool, tool: box_look, arguments: {n: "{{ input.n }}"}}\n'
        '  - {id: again, kind: tool, tool: box_look, arguments: {n: "{{ input.n }}"}}\n'
        "edges: [{from: look, to: again}]\n"
    )
    workflows.save_workflow(scope=bench.scope, name="flow", source=source, create=True)
    run = workflow_runs.start_workflow(scope=bench.scope, workflow="flow", input={"n": 1})
    runs.advance(bench.scope, run.id)
    page = f"/runs/{ids.encode(ids.Kind.RUN, run.id)}"
    events = runs.events(bench.scope, run.id)
    anchor = next(f"s{event.seq}" for event in events if event.step == "look")
    assert f"{page}/fork?step=look" in admin.get(f"{page}/steps/{anchor}").content.decode()

    form = admin.get(f"{page}/fork?step=look").content.decode()
    assert "Version of flow" in form
    assert 'name="route"' not in form
    given = {"input": '{"n": 7}', "version": "1", "output": "saw nothing"}
    made = admin.post(f"{page}/fork?step=look", given)
    assert made.status_code == 302, made.content.decode()[:3000]
    fork = ids.decode(ids.Kind.RUN, made.headers["Location"].rpartition("/")[2])
    runs.advance(bench.scope, fork)
    assert selectors.get_run(scope=bench.scope, run_id=fork).input == {"n": 7}
    said = {event.step: event.data for event in runs.events(bench.scope, fork)}
    assert said["again"]["message"]["content"] == "saw 7"
