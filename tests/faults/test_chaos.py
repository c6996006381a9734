"""Everything dies while runs of every kind are under way: each ends, nothing is lost or repeated.

`make chaos` runs it alone, because it crashes PostgreSQL and Redis themselves: for 45 seconds
unless OCTAVO_CHAOS_SECONDS is set; the long form is `OCTAVO_CHAOS_SECONDS=600 make chaos`.
"""

import json
import os
import random
import signal
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
import redis
from django.db import InterfaceError, OperationalError, connections

from apps.agents.types import Limits
from apps.governance import selectors as governance
from apps.governance.services import approvals
from apps.governance.types import ApprovalStatus, Verdict
from apps.orchestration import selectors
from apps.orchestration.services import control, workflow_runs, workflows
from octavo.devserver.postgres import ensure_postgres
from octavo.devserver.processes import RunningProcess, is_ready, worker_command
from octavo.devserver.redis import ensure_redis
from octavo.kernel import clock
from octavo.kernel.errors import OctavoError
from octavo.kernel.scope import Scope
from tests import runs, toolbox
from tests.conftest import STATE
from tests.runs import Bench

pytestmark = pytest.mark.chaos

SECONDS = float(os.environ.get("OCTAVO_CHAOS_SECONDS", "45"))
BETWEEN_FAULTS = 3.0
BETWEEN_STARTS = 1.0
LONGEST_FREEZE = timedelta(seconds=6)
SETTINGS = {
    "DJANGO_SETTINGS_MODULE": "tests.settings",
    "OCTAVO_LEASE_SECONDS": "3",
    "OCTAVO_TEST_DIES_EVERY": "200",
}
WORKERS = ("worker1", "worker2", "dying1", "dying2")
LIVE = ("ready", "running", "waiting")
COUNT_LIVE = f"SELECT count(*) FROM run WHERE status = ANY(ARRAY{list(LIVE)})"
GAPS = "SELECT run_id FROM event GROUP BY 1 HAVING count(*) <> max(seq) OR min(seq) <> 1"
TWICE = """
SELECT run_id, step FROM event WHERE type IN ('model_answered', 'tool_answered')
GROUP BY 1, 2 HAVING count(*) > 1
"""
UNREAD = "SELECT id FROM run WHERE status = 'waiting' AND mail_seq > read_seq"
ENDS = "SELECT status, count(*) FROM run GROUP BY 1"
STUCK = "SELECT id, status, waiting_on, crashes, error FROM run WHERE status <> 'done'"
WORKFLOWS_DONE = "SELECT count(*) FROM run WHERE workflow_name = 'outer' AND status = 'done'"
COUNTED = "SELECT run_id, step, count(*) FROM toolbox_count GROUP BY 1, 2"
ANSWERED = """
SELECT run_id, step FROM event WHERE type = 'tool_answered' AND data->>'tool' = %s
  AND NOT (data->>'is_error')::boolean
"""

KINDS: tuple[tuple[str, Any], ...] = (
    ("tools", [["box_count", {"n": 1}], ["box_keyed", {"n": 2}], ["box_far_keyed", {"n": 3}]]),
    (
        "at once",
        [[["box_far_read", {"n": 1}], ["box_far_keyed", {"n": 2}]], ["box_count", {"n": 3}]],
    ),
    ("unsafe", [["box_send", {"n": 1, "seconds": 0.2}], ["box_far_send", {"n": 2}]]),
    ("approval", [["box_launch", {"n": 1}], ["box_count", {"n": 2}]]),
    ("timer", [["wait", {"seconds": 1}], ["box_keyed", {"n": 1}]]),
    ("signal", [["await_signal", {"name": "go"}], ["box_count", {"n": 1}]]),
    ("question", [["ask_person", {"question": "Well?"}], ["box_keyed", {"n": 1}]]),
    ("child", [["agent__scout", {"input": '{"calls": [["box_count", {"n": 1}]]}'}]]),
    ("workflow", None),
)
INNER = """
nodes: [{id: far, kind: tool, tool: box_far_keyed, arguments: {n: 1}}]
"""
OUTER = """
nodes:
  - {id: nap, kind: wait, seconds: 1}
  - id: each
    kind: map
    over: input.items
    concurrency: 2
    body:
      nodes:
        - {id: count, kind: tool, tool: box_count, arguments: {n: "{{ item }}"}}
        - {id: send, kind: tool, tool: box_send, arguments: {n: "{{ item }}", seconds: 0.2}}
      edges: [{from: count, to: send}]
  - {id: scout, kind: agent, agent: scout, input: '{"calls": [["box_count", {"n": 1}]]}'}
  - {id: enough, kind: branch}
  - {id: sure, kind: approval, message: "Go on?"}
  - {id: inner, kind: workflow, workflow: inner, input: {n: 1}}
  - {id: short, kind: tool, tool: box_look, arguments: {n: 0}}
edges:
  - {from: nap, to: each}
  - {from: nap, to: scout}
  - {from: each, to: enough}
  - {from: scout, to: enough}
  - {from: enough, to: sure, when: size(nodes.each.data) == 3}
  - {from: enough, to: short, otherwise: true}
  - {from: sure, to: inner}
"""


def patiently[T](ask: Callable[[], T]) -> T:
    """Again and again while the database is away."""
    deadline = time.monotonic() + 60
    while True:
        try:
            return ask()
        except (OperationalError, InterfaceError, psycopg.Error, redis.RedisError, OSError):
            connections.close_all()
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)


@dataclass(slots=True, kw_only=True)
class Fleet:
    """The processes under fire; one that has died is started again."""

    processes: Any
    port: int
    started: dict[str, RunningProcess] = field(default_factory=dict)
    stopped: dict[str, float] = field(default_factory=dict)
    deaths: Counter[str] = field(default_factory=Counter)

    def keep_up(self) -> None:
        for name in (*WORKERS, "web"):
            process = self.started.get(name)
            if process is None or not process.is_alive:
                self.deaths[name] += process is not None
                self.started[name] = self._start(name)
        for name, until in list(self.stopped.items()):
            if time.monotonic() > until:
                self.started[name].popen.send_signal(signal.SIGCONT)
                del self.stopped[name]

    def _start(self, name: str) -> RunningProcess:
        if name == "web":
            from octavo.devserver.processes import web_command

            command = web_command(host="127.0.0.1", port=self.port)
            return self.processes.start(name, command, url=self.url, **SETTINGS)  # type: ignore[no-any-return]
        command = worker_command(
            name=f"{name}-{time.monotonic_ns()}", queues="runs,control", threads=8
        )
        if name.startswith("dying"):
            at = command.index("workers")
            command = (*command[:at], "tests.faults.dying_worker", *command[at + 1 :])
        return self.processes.start(name, command, **SETTINGS)  # type: ignore[no-any-return]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def kill(self, chance: random.Random) -> str:
        name = chance.choice(("worker1", "worker2", "web"))
        self.started[name].kill()
        return f"kill -9 {name}"

    def freeze(self, chance: random.Random) -> str:
        """Longer than its lease lasts."""
        name = chance.choice(("worker1", "worker2"))
        if name not in self.stopped and self.started[name].is_alive:
            self.started[name].popen.send_signal(signal.SIGSTOP)
            self.stopped[name] = time.monotonic() + 4.5
        return f"SIGSTOP {name}"

    def thaw(self) -> None:
        for name in list(self.stopped):
            self.started[name].popen.send_signal(signal.SIGCONT)
        self.stopped.clear()


def flush_redis(chance: random.Random) -> str:
    from django.conf import settings

    with redis.Redis.from_url(settings.REDIS_URL) as client:
        client.flushall()
    return "FLUSHALL"


def restart_redis(chance: random.Random) -> str:
    state = Path(os.environ[STATE])
    os.kill(ensure_redis(state).pid, signal.SIGKILL)
    time.sleep(0.3)
    ensure_redis(state)
    return "kill -9 redis"


def crash_postgres(chance: random.Random) -> str:
    """As its process dies: sessions end without a goodbye, and the log is replayed."""
    state = Path(os.environ[STATE])
    os.kill(ensure_postgres(state, durable=False).pid, signal.SIGQUIT)
    time.sleep(0.5)
    ensure_postgres(state, durable=False)
    return "crash postgres"


class Person:
    """Answers everything that waits for a person; twice at once, as impatient people do."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.asked: Counter[str] = Counter()

    def look(self) -> None:
        for approval in governance.list_approvals(
            scope=self.bench.scope, status=ApprovalStatus.PENDING
        ):
            self._twice(lambda approval_id=approval.id: self._approve(approval_id))
        for kind in ("effect", "signal", "input"):
            for run in selectors.list_waiting(scope=self.bench.scope, kind=kind):
                if kind == "effect" and clock.now() - run.waiting_on.since < LONGEST_FREEZE:
                    continue  # a frozen worker may still make the call
                self.asked[kind] += 1
                self._twice(lambda run=run: self._answer(run))

    def _twice(self, act: Callable[[], None]) -> None:
        def attempt() -> None:
            with suppress(OctavoError, OperationalError, InterfaceError):
                act()
            connections.close_all()

        both = [threading.Thread(target=attempt) for _ in range(2)]
        for thread in both:
            thread.start()
        for thread in both:
            thread.join()

    def _approve(self, approval_id: Any) -> None:
        scope = self.bench.scope
        approvals.decide(scope=scope, approval_id=approval_id, verdict=Verdict.APPROVE)

    def _answer(self, run: Any) -> None:
        scope, waiting = self.bench.scope, run.waiting_on
        match waiting.kind:
            case "effect":
                made = {(who, step) for _, who, step, _ in toolbox.read_trail()}
                happened = (str(run.id), waiting.id) in made
                outcome = "happened" if happened else "not_happened"
                control.resolve_effect(scope=scope, run_id=run.id, step=waiting.id, outcome=outcome)
            case "signal":
                control.signal_run(scope=scope, run_id=run.id, name="go", payload=1)
            case "input":
                control.give_input(scope=scope, run_id=run.id, content="Go on")


class Caller:
    """Calls a tool over REST until it is answered, always with the same Idempotency-Key."""

    def __init__(self, fleet: Fleet, key: str) -> None:
        self.fleet, self.key = fleet, key
        self.answered = 0
        self.stop = threading.Event()

    def run(self) -> None:
        number = 0
        while not self.stop.is_set():
            number += 1
            while not self._call(number):
                time.sleep(0.3)
            self.answered += 1

    def _call(self, number: int) -> bool:
        body = {"arguments": {"n": number}, "wait_seconds": 5}
        request = urllib.request.Request(
            f"{self.fleet.url}/api/v1/tools/box_count/call",
            data=json.dumps(body).encode(),
            headers={
                "Authorization": f"Bearer {self.key}",
                "Content-Type": "application/json",
                "Idempotency-Key": f"chaos-{number}",
            },
        )
        try:
            with urllib.request.urlopen(request, timeout=15) as answer:
                return bool(answer.status < 300)
        except OSError:
            return False


@contextmanager
def running(*targets: Callable[[], None]) -> Iterator[None]:
    threads = [threading.Thread(target=target, daemon=True) for target in targets]
    for thread in threads:
        thread.start()
    yield
    for thread in threads:
        thread.join(120)


def test_every_run_ends_whatever_dies(
    bench: Bench, installation: Any, processes: Any, free_port: int
) -> None:
    chance = random.Random(os.environ.get("OCTAVO_CHAOS_SEED", "octavo"))
    tools = ("box_*", "wait", "await_signal", "ask_person", "agent__scout")
    runs.save(bench.scope, "scout")
    runs.save(bench.scope, tools=tools, limits=Limits(max_steps=40))
    for name, source in (("inner", INNER), ("outer", OUTER)):
        workflows.save_workflow(scope=bench.scope, name=name, source=source, create=True)
    fleet = Fleet(processes=processes, port=free_port)
    _bring_up(bench, fleet)
    person, caller = Person(bench), Caller(fleet, installation.issued_key.secret)
    done: list[str] = []
    with running(caller.run):
        _break_things(bench, fleet, person, chance, done)
        fleet.thaw()
        caller.stop.set()
        _settle(bench, fleet, person)
    print(json.dumps({"faults": Counter(done), "deaths": fleet.deaths, "asked": person.asked}))  # noqa: T201
    _assert_nothing_is_lost_or_repeated(bench, caller)


def _bring_up(bench: Bench, fleet: Fleet) -> None:
    """Until all work at once: a dying worker may die before it is known, and is started again."""
    deadline = time.monotonic() + 120
    fleet.keep_up()
    while not (
        all(_is_working(bench, fleet.started[name]) for name in WORKERS)
        and is_ready(f"{fleet.url}/healthz")
    ):
        assert time.monotonic() < deadline, [process.tail() for process in fleet.started.values()]
        time.sleep(0.1)
        fleet.keep_up()


def _is_working(bench: Bench, process: RunningProcess) -> bool:
    known = "SELECT count(*) FROM run_worker WHERE name LIKE %s"
    return bench.rows(known, f"%:{process.pid}") == [(1,)]


def _break_things(
    bench: Bench, fleet: Fleet, person: Person, chance: random.Random, done: list[str]
) -> None:
    faults = (fleet.kill, fleet.kill, fleet.freeze, flush_redis, restart_redis, crash_postgres)
    robot = runs.robot_of(bench.scope)
    until, next_fault, next_start = time.monotonic() + SECONDS, time.monotonic(), 0.0
    while time.monotonic() < until:
        fleet.keep_up()
        patiently(person.look)
        if time.monotonic() > next_start:
            kind, calls = chance.choice(KINDS)
            patiently(lambda c=calls, k=kind: _start(bench, robot, k, c))
            next_start = time.monotonic() + BETWEEN_STARTS
        if time.monotonic() > next_fault:
            done.append(patiently(lambda: chance.choice(faults)(chance)))
            next_fault = time.monotonic() + BETWEEN_FAULTS
        time.sleep(0.1)


def _start(bench: Bench, robot: Scope, kind: str, calls: Any) -> None:
    if kind == "workflow":
        workflow_runs.start_workflow(scope=robot, workflow="outer", input={"items": [1, 2, 3]})
    else:
        runs.start(bench.scope, calls=calls, delay=0.2, kind=kind)


def _settle(bench: Bench, fleet: Fleet, person: Person) -> None:
    deadline = time.monotonic() + 120
    while patiently(lambda: bench.rows(COUNT_LIVE)) != [(0,)]:
        assert time.monotonic() < deadline, f"stuck: {bench.rows(STUCK)}"
        fleet.keep_up()
        patiently(person.look)
        time.sleep(0.2)


def _assert_nothing_is_lost_or_repeated(bench: Bench, caller: Caller) -> None:
    ends = dict(bench.rows(ENDS))
    assert ends.keys() == {"done"}, bench.rows(STUCK)
    assert ends["done"] > SECONDS / 2
    assert bench.rows(WORKFLOWS_DONE)[0][0] > 0
    assert bench.rows(GAPS) == []
    assert bench.rows(TWICE) == []
    assert bench.rows(UNREAD) == []
    counted = bench.rows(COUNTED)
    assert {count for _, _, count in counted} == {1}
    assert {(run, step) for run, step, _ in counted} == set(bench.rows(ANSWERED, "box_count"))
    direct = "SELECT count(*) FROM run WHERE tool = 'box_count'"
    assert bench.rows(direct)[0][0] == caller.answered
    unsafe = Counter(
        (run, step) for kind, run, step, _ in toolbox.read_trail() if kind in {"reach", "send"}
    )
    for tool in ("box_send", "box_far_send"):
        for run, step in bench.rows(ANSWERED, tool):
            assert unsafe[str(run), step] == 1, (tool, run, step)
    keys = {(run, step): key for _, run, step, key in toolbox.read_trail()}
    assert len(set(keys.values())) == len(keys)
