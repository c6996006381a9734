"""`manage.py run <agent> "<question>"`: start a run and watch it. Leaving does not stop the run."""

import sys
import threading
import time
from argparse import ArgumentParser
from decimal import Decimal, InvalidOperation
from typing import Any
from uuid import UUID

import orjson
from django.core.management.base import BaseCommand, CommandError
from redis import RedisError
from rich.console import Console

from apps.accounts import selectors as accounts
from apps.orchestration import selectors, terminal
from apps.orchestration.services import starting
from apps.orchestration.types.runs import EVENTS_CHANNEL, RunStatus, RunView
from octavo.kernel import ids, redis
from octavo.kernel.errors import OctavoError
from octavo.kernel.scope import Scope

_PICKED_UP_WITHIN = 10.0
_LOOK_AGAIN = 0.5
_TAIL = 70


class Command(BaseCommand):
    help = "Start a run of an agent in the default project, and show its steps as they happen."

    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("agent", help="the agent's name, for instance guide")
        parser.add_argument("question", help="what it shall answer or do")
        parser.add_argument("--version", dest="agent_version", type=int, help="an older version")
        parser.add_argument("--budget-usd", help="what the run may cost at most")

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> Any:
        """`--version` is the agent's here, so Django's own gives way."""
        return super().create_parser(prog_name, subcommand, conflict_handler="resolve", **kwargs)

    def handle(self, *args: Any, **options: Any) -> None:
        console = Console(highlight=False, soft_wrap=True)
        try:
            scope = accounts.system_scope(project_id=accounts.default_project().id)
            run = starting.start_run(
                scope=scope,
                agent=options["agent"],
                input=options["question"],
                version=options["agent_version"],
                budget_usd=_money(options["budget_usd"]),
            )
        except OctavoError as error:
            raise CommandError(str(error)) from None
        name = ids.encode(ids.Kind.RUN, run.id)
        try:
            ended = _follow(console, scope, run.id)
        except KeyboardInterrupt:
            console.print(f"\nThe run goes on without this terminal; it is {name}.")
            sys.exit(130)
        for line in terminal.outcome(ended):
            console.print(line)
        if ended.status is not RunStatus.SUCCEEDED:
            sys.exit(1)


def _money(text: str | None) -> Decimal | None:
    try:
        return None if text is None else Decimal(text)
    except InvalidOperation:
        raise CommandError(
            f"--budget-usd is {text!r}, which is not an amount. Write for instance 0.50."
        ) from None


def _follow(console: Console, scope: Scope, run_id: UUID) -> RunView:
    """Print each step once, in order, until the run is over."""
    seq, deadline = 0, time.monotonic() + _PICKED_UP_WITHIN
    live = _Live(run_id)
    with console.status("waiting for a worker") as status:
        while True:
            run = selectors.get_run(scope=scope, run_id=run_id)
            seq = _print_steps(console, scope, run_id, after=seq)
            if run.status.is_final:
                return run
            if run.started_at is None and time.monotonic() > deadline:
                raise _nobody_took(run_id)
            status.update(_doing(run, live.wait()))


def _print_steps(console: Console, scope: Scope, run_id: UUID, *, after: int) -> int:
    """Everything that is new in the journal; the number of its last event."""
    for event in selectors.list_events(scope=scope, run_id=run_id, after=after):
        after = event.seq
        line = terminal.step_line(event)
        if line is not None:
            console.print(line)
    return after


def _nobody_took(run_id: UUID) -> CommandError:
    return CommandError(
        f"No worker took the run within {_PICKED_UP_WITHIN:.0f} s. Is `make up`, or a worker, "
        f"running? {ids.encode(ids.Kind.RUN, run_id)} stays queued until one is."
    )


def _doing(run: RunView, written: str) -> str:
    if run.waiting_on is not None:
        return f"waiting for {run.waiting_on.kind} {run.waiting_on.id}"
    return written or ("working" if run.started_at else "waiting for a worker")


class _Live:
    """What the model is writing now. Without Redis there is nothing to see, only longer waits."""

    def __init__(self, run_id: UUID) -> None:
        self._channel = EVENTS_CHANNEL.format(run_id=run_id)
        self._pubsub: Any = None
        self._written = ""

    def wait(self) -> str:
        """Return when something happened, or after a moment, with the end of the text so far."""
        try:
            if self._pubsub is None:
                client: Any = redis.client()
                self._pubsub = client.pubsub(ignore_subscribe_messages=True)
                self._pubsub.subscribe(self._channel)
            message = self._pubsub.get_message(timeout=_LOOK_AGAIN)
            while message is not None:
                self._read(orjson.loads(message["data"]))
                message = self._pubsub.get_message(timeout=0)
        except (RedisError, OSError):
            self._pubsub = None
            threading.Event().wait(_LOOK_AGAIN)
        return self._written[-_TAIL:].replace("\n", " ")

    def _read(self, message: dict[str, Any]) -> None:
        if "delta" in message:
            self._written += message["delta"]
        else:
            self._written = ""
