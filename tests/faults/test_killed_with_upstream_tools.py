"""A run whose tools are another server's survives ten killed workers: what may not be repeated is
not, and what nobody can know is asked.
"""

import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from apps.agents.types import Limits
from apps.orchestration import selectors
from apps.orchestration.services import control
from apps.orchestration.types.runs import EventType, RunStatus
from octavo.devserver.processes import worker_command
from tests import runs
from tests.integration.api.conftest import Api
from tests.integration.tools.conftest import HttpUpstream
from tests.runs import Bench

KILLS = 10
CALLS = 12
SETTINGS = {
    "DJANGO_SETTINGS_MODULE": "tests.settings",
    "OCTAVO_LEASE_SECONDS": "2",
    "OCTAVO_EGRESS_ALLOW": "127.0.0.1",
}
STAND = "SELECT status, waiting_on, crashes, error, next_seq FROM run"
EVENTS = "SELECT count(*) FROM event"


@pytest.fixture
def upstream(tmp_path: Path) -> Iterator[HttpUpstream]:
    from octavo.devserver.ports import free_port

    folder = tmp_path / "upstream"
    folder.mkdir()
    server = HttpUpstream(folder=folder, port=free_port())
    server.start()
    yield server
    server.stop()


@pytest.fixture
def far_tools(installation: Any, upstream: HttpUpstream) -> Iterator[HttpUpstream]:
    """`far__note` may be repeated with its key, `far__push` may not be repeated at all."""
    from django.test import override_settings

    api = Api(installation.issued_key.secret)
    with override_settings(EGRESS_ALLOW=("127.0.0.1",)):
        body = {"name": "far", "transport": "http", "url": upstream.url}
        added = api.post("tool-servers", body)
        assert added.status == 201, added.body
        for tool, effect in (("note", "keyed"), ("push", "unsafe")):
            classes = {"effect": effect, "egress": False, "trust": "trusted"}
            done = api.post(f"tools/far__{tool}/approve-definition", classes)
            assert done.status == 200, done.body
        yield upstream
        from apps.tools.services import connections
        from octavo.kernel import io

        io.call(connections.close(), timeout=30)


class Person:
    """Looks at the far end, and says what has become of the calls that were cut off."""

    def __init__(self, bench: Bench, upstream: HttpUpstream, run_id: Any) -> None:
        self.bench, self.upstream, self.run_id = bench, upstream, run_id
        self.asked: list[str] = []

    def look(self) -> RunStatus:
        run = selectors.get_run(scope=self.bench.scope, run_id=self.run_id)
        waiting = run.waiting_on
        if waiting is not None and waiting.kind == "effect":
            self.asked.append(waiting.id)
            happened = self._arguments(waiting.id) in self.upstream.lines("pushed")
            outcome = "happened" if happened else "not_happened"
            control.resolve_effect(
                scope=self.bench.scope, run_id=self.run_id, step=waiting.id, outcome=outcome
            )
        return run.status

    def _arguments(self, step: str) -> str:
        intended = [
            event
            for event in runs.events(self.bench.scope, self.run_id)
            if event.type is EventType.TOOL_INTENDED and event.step == step
        ]
        return str(intended[-1].data["arguments"]["n"])


def test_a_run_over_a_far_server_outlives_ten_killed_workers(
    bench: Bench, far_tools: HttpUpstream, processes: Any
) -> None:
    runs.save(bench.scope, tools=("far__*",), limits=Limits(max_steps=2 * CALLS + 1))
    calls = [
        ["far__push", {"n": n}] if n % 2 else ["far__note", {"line": f"line {n}"}]
        for n in range(CALLS)
    ]
    run = runs.start(bench.scope, calls=calls, answer="done", delay=0.2)
    person = Person(bench, far_tools, run.id)
    worker = _start_worker(processes, 0)
    for kill in range(KILLS):
        following = _start_worker(processes, kill + 1)
        before = bench.rows(EVENTS)[0][0]
        _until(lambda least=before: bench.rows(EVENTS)[0][0] > least, person)
        time.sleep(0.1 * (kill % 4))  # not always just after an event
        worker.kill()
        assert person.look() is not RunStatus.SUCCEEDED, "the run was over before the last kill"
        worker = following
    _until(lambda: person.look() is RunStatus.SUCCEEDED, person)

    pushed = Counter(far_tools.lines("pushed"))
    assert pushed == Counter(str(n) for n in range(CALLS) if n % 2), (pushed, person.asked)
    notes = [line.split(" ", 1)[1] for line in far_tools.lines("notes")]
    assert sorted(notes) == sorted(f"line {n}" for n in range(CALLS) if n % 2 == 0)
    seen = runs.events(bench.scope, run.id)
    assert [event.seq for event in seen] == list(range(1, len(seen) + 1))
    answered = [event.step for event in seen if event.type is EventType.TOOL_ANSWERED]
    assert len(answered) == len(set(answered)) == CALLS


def _start_worker(processes: Any, number: int) -> Any:
    """Without waiting until it is ready."""
    command = worker_command(name=f"far{number}", queues="runs", threads=2)
    return processes.start("worker", command, **SETTINGS)


def _until(condition: Any, person: Person) -> None:
    def holds() -> bool:
        person.look()
        return bool(condition())

    runs.eventually(holds, within=60, what=f"stuck: {person.bench.rows(STAND)}")
