"""One claim of one run: what its steps may use, and the only way they record anything."""

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from copy import copy
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import orjson
from django.db import InterfaceError, OperationalError, connection, transaction

from apps.agents import selectors as agents
from apps.agents.services import loop
from apps.agents.types import Definition, Strategy
from apps.governance.types import Decision
from apps.orchestration import drafts, fold, journal
from apps.orchestration.agent_loop import AgentLoop
from apps.orchestration.fold import Folded
from apps.orchestration.leases import Lease
from apps.orchestration.programs import Program
from apps.orchestration.records import Draft, Head, Letter, Record, RunFacts
from apps.orchestration.sendings import Sendings
from apps.orchestration.single_call import SingleCall
from apps.orchestration.waits import Wait
from apps.orchestration.workflows import catalog
from apps.orchestration.workflows.interpreting import Interpreter
from apps.tools.types import ProgressSink
from octavo.kernel.scope import Principal, PrincipalKind, Scope

log = logging.getLogger(__name__)

_PATIENCE = 10.0
_PAUSE = 0.25


class Interrupted(Exception):
    """This process is stopping: hand the run back as it is."""


class Parked(Exception):
    """The run waits in the database; the activation is over."""


@dataclass(slots=True, kw_only=True)
class Activation:
    """`decided` is what the policies said of a tool call just before its run began."""

    run: RunFacts
    head: Head
    lease: Lease
    state: Folded
    scope: Scope
    sendings: Sendings
    on_progress: ProgressSink | None = None
    decided: Decision | None = None
    let_go: set[str] = field(default_factory=set)

    @property
    def program(self) -> Program:
        return self.state.program

    def record(self, draft: Draft, *, also: Callable[[], None] | None = None) -> None:
        """Append the event, together with what `also` writes, and fold it in.

        Inside a transaction it commits or vanishes with that.
        """

        def write() -> Head:
            head = copy(self.head)
            with transaction.atomic() if also else nullcontext():
                journal.append(self.run.id, head, draft)
                if also:
                    also()
            return head

        seq = self.head.next_seq
        self.head = write() if connection.in_atomic_block else with_patience(write)
        record = _as_record(seq, draft, self.head.now)
        contents = {name: orjson.loads(body) for name, body in draft.blobs.items()}
        fold.apply(self.state, record, drafts.fill(draft.type, record.data, contents))

    def park(self, waits: Sequence[Wait]) -> None:
        """Wait for mail without a worker: raises `Parked`. Returns when there is some already."""
        if journal.park(self.run.id, self.head, waits):
            raise Parked

    def read_mail(self) -> list[Letter]:
        """What arrived since it was last read."""
        if self.head.seen_mail >= self.head.mail_seq:
            return []
        letters = journal.read_mail(self.run.id, after=self.head.seen_mail)
        if letters:
            self.head.seen_mail = letters[-1].seq
        self.head.mail_seq = self.head.seen_mail
        return letters


def load(run: RunFacts, head: Head, lease: Lease) -> Activation:
    """Fold the whole journal over the version that the run is pinned to."""
    activation = begin(run, head, lease)
    records = journal.read_events(run.id)
    contents = contents_of(run, records)
    for record in records:
        fold.apply(activation.state, record, drafts.fill(record.type, record.data, contents))
    return activation


def begin(run: RunFacts, head: Head, lease: Lease) -> Activation:
    """A run of which nothing but its first event is journaled."""
    state = Folded(program=program_of(run))
    return Activation(
        run=run,
        head=head,
        lease=lease,
        state=state,
        scope=scope_of(run),
        sendings=Sendings(lease=lease),
    )


def program_of(run: RunFacts) -> Program:
    """The program of a run that has done nothing yet."""
    if run.workflow_version_id is not None:
        return Interpreter(catalog.get_definition(version_id=run.workflow_version_id), run.input)
    if run.agent_version_id is None:
        return SingleCall(run.tool, run.input)
    return agent_program(run, agents.get_definition(version_id=run.agent_version_id))


def agent_program(run: RunFacts, definition: Definition) -> Program:
    """The program of an agent's run over this definition; needs no database."""
    if run.given_route:
        definition = replace(definition, route=run.given_route)
    strategy: Any = Strategy(run.strategy)  # resolved when the run started
    return AgentLoop(loop.start(definition, strategy=strategy, input=as_text(run.input)))


def contents_of(run: RunFacts, records: list[Record]) -> Mapping[str, Any]:
    names = {name for record in records for name in drafts.blob_names(record.type, record.data)}
    return journal.read_blobs(run.organisation_id, sorted(names))


def scope_of(run: RunFacts) -> Scope:
    """A run acts as its agent; a workflow's run and a tool call as whoever starts them, within the
    scopes of their key.

    What it uses counts for the key that started it.
    """
    return Scope(
        organisation_id=run.organisation_id,
        team_id=run.team_id,
        project_id=run.project_id,
        principal=_principal(run),
        key_id=run.key_id,
        key_scopes=run.key_scopes,
        run_id=run.id,
        root_run_id=run.root_id,
        is_autonomous=run.is_autonomous,
    )


def _principal(run: RunFacts) -> Principal:
    if run.agent_id is not None:
        return Principal(kind=PrincipalKind.AGENT, id=run.agent_id, name=run.agent_name)
    if run.starter is None:
        raise ValueError(f"Run {run.id} has neither an agent nor a starter.")
    return run.starter


def as_text(value: Any) -> str:
    """A run's input as a model reads it."""
    return value if isinstance(value, str) else orjson.dumps(value).decode()


def _as_record(seq: int, draft: Draft, now: datetime) -> Record:
    return Record(
        seq=seq,
        type=draft.type,
        step=draft.step,
        attempt=draft.attempt,
        started_at=now - timedelta(seconds=draft.took),
        at=now,
        data=orjson.loads(journal.as_json(draft.data) or "{}"),
        input_tokens=draft.input_tokens,
        output_tokens=draft.output_tokens,
        cost_usd=draft.cost_usd,
    )


def with_patience[T](write: Callable[[], T]) -> T:
    """A result that was paid for survives a restart of the database; the fence still guards it."""
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            return write()
        except (OperationalError, InterfaceError) as error:
            connection.close()
            if time.monotonic() > deadline:
                raise
            log.warning("The journal is unreachable (%s); trying again.", error)
            threading.Event().wait(_PAUSE)
