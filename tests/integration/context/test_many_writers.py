"""Eight processes write to one entry at once: no update is lost, every revision accounted for.

OCTAVO_TEST_WRITES is how many writes each makes (1000 for the figure of the design page).
"""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from apps.context import selectors
from apps.context.models import Chunk, Revision, Space

WRITERS = 8
WRITES = int(os.environ.get("OCTAVO_TEST_WRITES", "5"))


def test_eight_processes_lose_no_update(
    scope: Any, write: Callable[..., Any], processes: Any
) -> None:
    write("log", "start")
    script = str(Path(__file__).with_name("writer.py"))
    names = [f"writer{n}" for n in range(WRITERS)]
    started = [
        processes.start(name, (sys.executable, script, name, str(WRITES)), PYTHONPATH="platform:.")
        for name in names
    ]
    for process in started:
        assert process.popen.wait(timeout=3600) == 0, process.tail()
    wanted = sorted(f"{name}.{n}" for name in names for n in range(WRITES))
    text = selectors.get_entry(scope=scope, space="notes", key="log").text
    assert sorted(text.split()[1:]) == wanted
    assert sorted(Revision.objects.exclude(number=1).values_list("why", flat=True)) == wanted
    numbers = list(Revision.objects.order_by("seq").values_list("number", flat=True))
    assert numbers == list(range(1, len(wanted) + 2))
    place = Space.objects.get()
    assert place.seq == len(numbers)
    assert place.chunk_count == Chunk.objects.filter(died=None).count()
