"""Advances runs: claim, fold, decide, execute, record, until the run ends, waits or yields.

Whatever happens to this process, the journal and the lease are enough for the next one.
"""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from copy import copy
from datetime import timedelta
from itertools import count
from typing import Any, NoReturn
from uuid import UUID

from django.db import InterfaceError, OperationalError, connections, transaction

from apps.agents.types import CallModel, Fail, Finish, Retrieve
from apps.governance.services import approvals, budgets
from apps.observability import metrics
from apps.orchestration import activation as activations
from apps.orchestration import children, drafts, journal, leases, recovery, slots
from apps.orchestration.activation import Activation, Interrupted, Parked, with_patience
from apps.orchestration.announcing import announce_end, announce_episode
from apps.orchestration.episodes import remembered_in
from apps.orchestration.leases import Lease
from apps.orchestration.programs import CallTool, End, Task, output_of
from apps.orchestration.records import Ended, Fenced, Head, Letter, RunFacts
from apps.orchestration.sendings import MOST_AT_ONCE, Sending
from apps.orchestration.steps.calling import call_tool
from apps.orchestration.steps.failing import Cancelled
from apps.orchestration.steps.modelling import call_model
from apps.orchestration.steps.retrieving import retrieve
from apps.orchestration.types.runs import EventType, RunStatus
from apps.orchestration.waits import Wait
from apps.tools.services import effects
from apps.tools.types import ProgressSink
from octavo.kernel import ids, logs

log = logging.getLogger(__name__)

YIELD_AFTER_STEPS = 50
YIELD_AFTER_SECONDS = 60.0
_STUMBLE_DELAY = timedelta(seconds=2)
_LOOK_SECONDS = 2.0


class _EndedError(Exception):
    """The run has its final event."""

    def __init__(self, ended: Ended) -> None:
        super().__init__(ended.status)
        self.ended = ended


def advance(*, run_id: str, on_progress: ProgressSink | None = None) -> None:
    """Take the run as far as it goes now. A duplicate or late call finds nothing to claim."""
    if leases.is_stopping():
        slots.hint([UUID(run_id)])
    else:
        _advance(journal.claim(run_id=UUID(run_id), owner=leases.OWNER), on_progress)


def advance_next(*, hinted: str | None = None) -> bool:
    """Take the run whose turn it is as far as it goes now, on this hint or on the next that waits.

    False when there was no hint.
    """
    wanted = UUID(hinted) if hinted else None
    if leases.is_stopping():
        slots.hint([wanted] if wanted else [])
        return False
    had_hint, claimed = journal.claim_turn(hinted=wanted, owner=leases.OWNER)
    run_id = _advance(claimed)
    if run_id is not None:
        slots.pass_on(run_id)
    return had_hint


def _advance(
    claimed: tuple[RunFacts, Head] | None, on_progress: ProgressSink | None = None
) -> UUID | None:
    """The run that was taken further, if any."""
    if claimed is None:
        return None
    run, head = claimed

    def load(lease: Lease) -> Activation:
        if head.crashes:  # whoever held the run before may have died during a call
            budgets.release_run(run_id=run.id)
        activation = activations.load(run, head, lease)
        activation.on_progress = on_progress
        return activation

    drive(run, head, load)
    return run.id


def drive(run: RunFacts, head: Head, load: Callable[[Lease], Activation]) -> Ended | None:
    """Take a run that was just claimed as far as it goes. Never raises: the journal has it all.

    How it ended, if it did in this activation.
    """
    bound = logs.bound(run_id=ids.encode(ids.Kind.RUN, run.id), trace_id=ids.trace_id(run.id))
    with bound, leases.hold(run.id, head.fence) as lease:
        try:
            _drive(load(lease))
        except _EndedError as final:
            return final.ended
        except Parked:
            return None
        except Fenced:
            log.info("The lease was lost; another worker has the run.")
        except Interrupted:
            journal.release(run.id, head.fence)
        except (OperationalError, InterfaceError):
            _hand_back(run.id, head.fence)
        except Exception as error:
            log.exception("An activation failed")
            reason = f"{type(error).__name__}: {error}. The worker's log has the details."
            connections.close_all()
            recovery.stumble(run.id, head.fence, reason=reason, delay=_STUMBLE_DELAY)
    return None


def _hand_back(run_id: UUID, fence: int) -> None:
    """The database went away in the middle: no fault of the run, so no crash is counted."""
    log.warning("The database went away; handing the run back.")
    connections.close_all()

    def release() -> None:
        budgets.release_run(run_id=run_id)
        journal.release(run_id, fence)

    try:
        with_patience(release)
    except (OperationalError, InterfaceError):
        log.warning("The database is still away; the run resumes when its lease has expired.")


def _drive(activation: Activation) -> None:
    """Until the run ends or waits; handed back after a while, so that it starves no other."""
    sendings, deadline = activation.sendings, time.monotonic() + YIELD_AFTER_SECONDS
    with closing(sendings):
        for turn in count():
            _check_interrupted(activation)
            _read_mail(activation)
            _end_if_due(activation)
            is_over = turn >= YIELD_AFTER_STEPS or time.monotonic() > deadline
            if is_over and not sendings:
                break
            waits = [] if is_over else _begin(activation)
            if sendings and waits is not None:
                _receive(activation, within=_LOOK_SECONDS if waits else None)
            elif waits:
                activation.park(waits)
            elif waits is not None:
                raise RuntimeError("The run's program names nothing to do and no end.")
    journal.release(activation.run.id, activation.head.fence)


def _begin(activation: Activation) -> list[Wait] | None:
    """Begin all that can be done now: what the rest waits for, or None after something new."""
    if activation.state.paused:
        return [Wait(kind="pause", waits_for="resume")]
    decided = activation.program.decide()
    if isinstance(decided, Finish | Fail):
        _end(activation, decided)
    _let_go(activation, decided)
    waits: list[Wait] = []
    for task in decided:
        if task.step in activation.sendings:
            continue
        if len(activation.sendings) >= MOST_AT_ONCE:
            break
        begun = _until_next_attempt(activation, task.step) or _carry_out(activation, task)
        if begun is None:
            return None
        if isinstance(begun, Sending):
            activation.sendings.start(begun)
        else:
            waits.append(begun)
    return waits


def _let_go(activation: Activation, tasks: Sequence[Task]) -> None:
    """A child whose step the program names no more is asked to end."""
    named = {task.step for task in tasks}
    for step, progress in activation.state.steps.items():
        is_needed = step in named or progress.ended is not None or step in activation.let_go
        if progress.child is not None and not is_needed:
            children.cancel_child(ids.decode(ids.Kind.RUN, progress.child))
            activation.let_go.add(step)


def _until_next_attempt(activation: Activation, step: str) -> Wait | None:
    """Between attempts nobody waits with the run in hand."""
    progress = activation.state.progress(step)
    if progress.retry_at is None or activation.head.now >= progress.retry_at:
        return None
    name = f"{step}#{progress.attempt}"
    return Wait(kind="timer", waits_for=name, until=progress.retry_at, timer=name)


def _carry_out(activation: Activation, task: Task) -> Sending | Wait | None:
    activation.lease.allow()
    match task:
        case Retrieve():
            retrieve(activation, task)
            return None
        case CallModel():
            return call_model(activation, task)
        case CallTool():
            return call_tool(activation, task)


def _receive(activation: Activation, *, within: float | None) -> None:
    """Take in the next result; where other steps wait for mail, look for that too."""
    try:
        if not activation.sendings.complete_next(within=within):
            journal.look(activation.run.id, activation.head)
    except Cancelled:
        activation.head.cancel_requested = True


def _check_interrupted(activation: Activation) -> None:
    if activation.lease.lost:
        raise Fenced
    if leases.is_stopping():
        raise Interrupted


def _read_mail(activation: Activation) -> None:
    """Journal what the mail says; approvals and timers speak for themselves when looked at."""
    for letter in activation.read_mail():
        match letter.kind:
            case "effect":
                _resolve_effect(activation, letter)
            case "input":
                _take_input(activation, letter)
            case "child":
                _take_child(activation, letter)
            case "signal":
                body = letter.body
                draft = drafts.signal_received(
                    name=body["name"], payload=body["payload"], by=body["by"], read_mail=letter.seq
                )
                activation.record(draft)
            case "pause" | "resume":
                _hold(activation, letter)
            case "cancel":
                activation.head.cancel_requested = True


def _resolve_effect(activation: Activation, letter: Letter) -> None:
    step = letter.body["step"]
    progress = activation.state.progress(step)
    if not progress.doubted or progress.resolution is not None:
        return
    activation.record(
        drafts.effect_resolved(
            step,
            outcome=letter.body["outcome"],
            result=letter.body["result"],
            by=letter.body["by"],
            read_mail=letter.seq,
        )
    )


def _take_input(activation: Activation, letter: Letter) -> None:
    step = letter.body["step"]
    progress = activation.state.progress(step)
    if progress.asked and progress.given is None:
        content, by = letter.body["content"], letter.body["by"]
        draft = drafts.input_received(step, content=content, by=by, read_mail=letter.seq)
        activation.record(draft)


def _take_child(activation: Activation, letter: Letter) -> None:
    step = letter.body["step"]
    progress = activation.state.progress(step)
    if progress.child == letter.body["run"] and progress.ended is None:
        activation.record(drafts.child_finished(step, letter.body, read_mail=letter.seq))


def _hold(activation: Activation, letter: Letter) -> None:
    pauses = letter.kind == "pause"
    if activation.state.paused != pauses:
        kind = EventType.RUN_PAUSED if pauses else EventType.RUN_RESUMED
        activation.record(drafts.held(kind, by=letter.body["by"], read_mail=letter.seq))


def _end_if_due(activation: Activation) -> None:
    run, head = activation.run, activation.head
    if head.cancel_requested:
        _finish(activation, RunStatus.CANCELLED)
    if run.deadline_at is not None and head.now >= run.deadline_at:
        detail = "The run reached its deadline. Raise limits.deadline_seconds, or ask for less."
        _finish(activation, RunStatus.FAILED, error={"code": "deadline", "detail": detail})


def _end(activation: Activation, decision: End) -> NoReturn:
    if isinstance(decision, Fail):
        error = {"code": decision.code, "detail": decision.detail}
        _finish(activation, RunStatus.FAILED, error=error)
    _finish(activation, RunStatus.SUCCEEDED, output=output_of(decision))


def _finish(
    activation: Activation,
    status: RunStatus,
    *,
    output: Mapping[str, Any] | None = None,
    error: Mapping[str, Any] | None = None,
) -> NoReturn:
    """The final event and status together; what the run still asked for is asked no more."""
    run, head = activation.run, activation.head

    @transaction.atomic
    def end() -> Ended:
        ended = journal.finish(run.id, copy(head), status=status, output=output, error=error)
        steps = activation.state.steps
        if any(progress.approval for progress in steps.values()):
            approvals.cancel_pending(run_id=run.id)
        children.tell_parent(
            run.parent_id,
            step=run.parent_key,
            run_id=run.id,
            status=status,
            output=output,
            error=error,
            is_tainted=activation.program.tainted,
        )
        if any(progress.child for progress in steps.values()):
            children.end_with(run.id)
        if run.parent_id is None and not run.tool:
            announce_end(run.id, is_tainted=activation.program.tainted)
        if status is not RunStatus.CANCELLED and remembered_in(run):
            announce_episode(run.id)
        for step, progress in steps.items():
            if progress.intended:  # cut off, so it may have happened
                effects.doubt_effect(run_id=run.id, step=step)
        return ended

    ended = with_patience(end)
    metrics.count_finished_run(status=status)
    raise _EndedError(ended)
