"""`manage.py up`: everything on this machine, with embedded servers where none are given."""

import os
import sys
from typing import Any

from django.core.management.base import BaseCommand

from octavo.devserver.processes import ROOT, child_environment


class Command(BaseCommand):
    help = "Start the web server, the workers and the servers they need; Ctrl-C stops all."
    requires_system_checks = []

    def handle(self, *args: Any, **options: Any) -> None:
        """Becomes the supervisor: same process id, without the memory of a loaded Django."""
        os.chdir(ROOT)
        sys.stdout.flush()
        command = (sys.executable, "-m", "octavo.devserver")
        os.execve(sys.executable, command, child_environment())  # noqa: S606  no shell is wanted
