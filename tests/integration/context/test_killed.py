"""A killed process leaves nothing half done, and its work can be done again."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from django.db import connection

from apps.context import selectors
from apps.context.models import Chunk, Entry, IngestJob, Revision, Space
from apps.context.services import ingestion, versions
from tests.runs import eventually

VICTIM = str(Path(__file__).with_name("victim.py"))


def start(processes: Any, *arguments: str) -> Any:
    return processes.start("victim", (sys.executable, VICTIM, *arguments), PYTHONPATH="platform:.")


def kill(process: Any) -> None:
    process.popen.kill()
    process.popen.wait(timeout=30)


def test_an_ingestion_is_taken_up_where_it_was_left(
    scope: Any, space: str, embedder: Any, processes: Any
) -> None:
    uploads = [(f"{n:02}.txt", f"File number {n}. ".encode() * 400) for n in range(40)]
    job = ingestion.start_job(scope=scope, space=space, uploads=uploads)
    victim = start(processes, "ingest", str(job.id))
    eventually(lambda: Revision.objects.exists(), within=60)
    kill(victim)
    done = Revision.objects.count()
    assert 0 < done <= 40
    for revision in Revision.objects.select_related("entry"):
        assert revision.entry.head_number == 1
        assert Chunk.objects.filter(id__in=revision.chunks).count() == len(set(revision.chunks))
    IngestJob.objects.update(touched_at="2026-01-01T00:00:00Z")
    assert ingestion.revive_jobs() == 1
    ingestion.run_job(job_id=str(job.id))
    view = selectors.get_job(scope=scope, job_id=job.id)
    assert (view.status, view.done, view.total) == ("done", 40, 40)
    assert Revision.objects.count() == Entry.objects.count() == 40
    place = Space.objects.get()
    assert place.entry_count == 40
    assert place.chunk_count == Chunk.objects.filter(died=None).count()


def test_a_rollback_happens_whole_or_not_at_all(
    scope: Any, write: Callable[..., Any], processes: Any
) -> None:
    for n in range(20):
        write(f"{n:02}", f"Before {n}.")
    (seq,) = Space.objects.values_list("seq", flat=True)
    for n in range(20):
        write(f"{n:02}", f"After {n}.")
    with connection.cursor() as cursor:
        cursor.execute("BEGIN")
        cursor.execute("SELECT 1 FROM entry WHERE key = '19' FOR UPDATE")
        victim = start(processes, "rollback", str(seq))
        eventually(_is_anyone_waiting, within=60)
        kill(victim)
        cursor.execute("ROLLBACK")
    place = Space.objects.get()
    assert (place.seq, place.chunk_count) == (40, 20)
    assert Revision.objects.count() == 40
    assert selectors.get_entry(scope=scope, space="notes", key="03").text == "After 3."
    changed = versions.roll_back(scope=scope, space="notes", to=seq, why="again")
    assert len(changed.changes) == 20
    assert selectors.get_entry(scope=scope, space="notes", key="03").text == "Before 3."


def _is_anyone_waiting() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT EXISTS (SELECT 1 FROM pg_locks WHERE NOT granted)")
        return bool(cursor.fetchone()[0])
