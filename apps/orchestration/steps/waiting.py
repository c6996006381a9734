"""Tools that the engine carries out itself: the run waits in the database, without a worker."""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

import orjson

from apps.orchestration import drafts
from apps.orchestration.activation import Activation
from apps.orchestration.steps.answering import Permitted, record_answer
from apps.orchestration.steps.delegating import delegate, hand_off
from apps.orchestration.waits import Wait
from apps.tools.types import ToolResult, Trust, Waits


def wait(activation: Activation, waits: Waits, made: Permitted) -> Wait | None:
    """What the call waits for, until that is there: then it is recorded as the call's answer."""
    result = _LOOKS[waits](activation, made)
    if isinstance(result, ToolResult):
        record_answer(activation, made, result)
        return None
    return result


def _for_input(activation: Activation, made: Permitted) -> ToolResult | Wait:
    progress = activation.state.progress(made.step)
    if progress.given is not None:
        return ToolResult(text=progress.given["content"], trust=Trust.TRUSTED)
    if not progress.asked:
        activation.record(drafts.input_requested(made.step, made.arguments))
    return Wait(kind="input", waits_for=made.step)


def _for_signal(activation: Activation, made: Permitted) -> ToolResult | Wait:
    """The oldest signal of the name, also one that came before the call."""
    name, seconds = made.arguments["name"], made.arguments.get("timeout_seconds")
    signal = activation.state.find_signal(name)
    if signal is not None:
        text = orjson.dumps(signal["payload"]).decode()
        return ToolResult(text=text, structured=dict(signal), trust=Trust.UNTRUSTED)
    if seconds is None:
        return Wait(kind="signal", waits_for=name)
    until = _time_limit(activation, made, seconds)
    if activation.head.now >= until:
        return ToolResult(text=f"No signal {name!r} came in time.", trust=Trust.TRUSTED)
    return Wait(kind="signal", waits_for=name, until=until, timer=f"{made.step}#wait")


def _for_time(activation: Activation, made: Permitted) -> ToolResult | Wait:
    until = _time_limit(activation, made, made.arguments["seconds"])
    if activation.head.now >= until:
        return ToolResult(text="The time is over.", trust=Trust.TRUSTED)
    name = f"{made.step}#wait"
    return Wait(kind="timer", waits_for=name, until=until, timer=name)


def _time_limit(activation: Activation, made: Permitted, seconds: float) -> datetime:
    """When the wait is over: journaled when it begins, so that a later look finds the same."""
    until = activation.state.progress(made.step).waits_until
    if until is None:
        until = activation.head.now + timedelta(seconds=seconds)
        activation.record(drafts.timer_started(made.step, until=until, decision=made.decision))
    return until


_LOOKS: Mapping[Waits, Callable[[Activation, Permitted], ToolResult | Wait | None]] = {
    Waits.RUN: delegate,
    Waits.HANDOFF: hand_off,
    Waits.SIGNAL: _for_signal,
    Waits.INPUT: _for_input,
    Waits.TIME: _for_time,
}
