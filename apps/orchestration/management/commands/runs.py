"""`manage.py runs replay`: fold stored journals with today's code, and say where they differ."""

import sys
from argparse import ArgumentParser
from typing import Any

import orjson
from django.core.management.base import BaseCommand, CommandError

from apps.accounts import selectors as accounts
from apps.orchestration.services import replay
from octavo.kernel import ids
from octavo.kernel.errors import OctavoError


class Command(BaseCommand):
    help = "Check that this version of Octavo reads the journals of earlier runs as they were."

    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        acts = parser.add_subparsers(dest="act", required=True)
        act = acts.add_parser("replay", help="fold journals again, without calling anything")
        act.add_argument("--agent", help="only runs of this agent")
        act.add_argument("--limit", type=int, default=100, help="how many, newest first")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            scope = accounts.system_scope(project_id=accounts.default_project().id)
            found = replay.replay_runs(
                scope=scope, agent=options["agent"], limit=max(options["limit"], 1)
            )
        except OctavoError as error:
            raise CommandError(str(error)) from None
        different = [(run, replayed) for run, replayed in found if not replayed.equal]
        for run, replayed in different:
            where = replayed.first_difference
            if where is None:
                continue
            self.stdout.write(
                f"{ids.encode(ids.Kind.RUN, run.id)} differs at event {where.seq} ({where.step}):\n"
                f"  expected {orjson.dumps(dict(where.expected)).decode()}\n"
                f"  recorded {orjson.dumps(dict(where.recorded)).decode()}"
            )
        events = sum(replayed.events for _, replayed in found)
        self.stdout.write(f"{len(found)} runs, {events} events, {len(different)} differ.")
        if different:
            sys.exit(1)
