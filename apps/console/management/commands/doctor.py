"""`manage.py doctor`: says what works and what does not; exit status 1 where something needed is
broken.
"""

import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import orjson
from django.core.management.base import BaseCommand, CommandParser

from apps.console.doctor import machine, servers, serving
from apps.console.doctor.findings import Check, Finding, State, perform

CHECKS = (
    Check(name="Python", look=machine.python),
    Check(name="Disk", look=machine.disk),
    Check(name="Keys", look=machine.keys),
    Check(name="PostgreSQL", look=servers.postgres),
    Check(name="Redis", look=servers.redis_server),
    Check(name="Workers", look=servers.workers, needs=("PostgreSQL",)),
    Check(name="Credentials", look=servers.credentials, needs=("Keys", "PostgreSQL")),
    Check(name="Models", look=serving.models, needs=("PostgreSQL", "Credentials")),
    Check(name="Ollama", look=serving.ollama),
    Check(name="vLLM", look=machine.vllm_python),
    Check(name="GPU", look=machine.gpu),
    Check(name="Egress", look=machine.egress),
)
_MARKS = {State.OK: "✓", State.WARNING: "!", State.BROKEN: "✗"}
_STYLES = {State.OK: "SUCCESS", State.WARNING: "WARNING", State.BROKEN: "ERROR"}


class Command(BaseCommand):
    help = "Look at everything Octavo rests on, and say the next step for each problem."
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", help="Print one JSON object, no prose.")

    def handle(self, *args: Any, **options: Any) -> None:
        found = list(perform(CHECKS))
        is_healthy = all(finding.state is not State.BROKEN for finding in found)
        if options["json"]:
            said = {"healthy": is_healthy, "findings": [asdict(finding) for finding in found]}
            self.stdout.write(orjson.dumps(said).decode())
        else:
            self._tell(found)
        if not is_healthy:
            sys.exit(1)

    def _tell(self, found: Sequence[Finding]) -> None:
        width = max(len(finding.name) for finding in found)
        for finding in found:
            mark = getattr(self.style, _STYLES[finding.state])(_MARKS[finding.state])
            self.stdout.write(f"{mark} {finding.name:<{width}}  {finding.detail}")
            if finding.next_step:
                self.stdout.write(f"  {'':<{width}}  → {finding.next_step}")
