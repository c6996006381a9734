"""Episodic memory: each run of an agent that remembers leaves an entry in the space it names.

The run is over by then, so nothing here can delay or fail it.
"""

import logging
from datetime import timedelta
from uuid import UUID

from django.db import DatabaseError, InterfaceError

from apps.context.services import remembering as memory
from apps.orchestration import activation, episodes, journal
from apps.orchestration.announcing import EPISODE_DUE
from apps.orchestration.models import Run
from apps.orchestration.rows import run_facts, run_view
from octavo.kernel import clock, events, ids
from octavo.kernel.errors import OctavoError, Unavailable

log = logging.getLogger(__name__)

STEP = "episode"
_AT_ONCE = 50
_PATIENCE = timedelta(days=1)


def record_due() -> int:
    """Write the episodes that are due, each in its agent's name; how many were dealt with.

    One that policy or the store refuses, or that cannot be told, is logged and let go. While no
    embedding model answers they wait, for a day at most. Any number of processes may do so at once:
    a run has one episode.
    """
    due = events.list_kept([EPISODE_DUE], limit=_AT_ONCE)
    for count, event in enumerate(due):
        run_id = UUID(str(event.arguments["run_id"]))
        try:
            _record(run_id)
        except (DatabaseError, InterfaceError):
            raise
        except Exception as error:
            if isinstance(error, Unavailable) and clock.now() - event.at < _PATIENCE:
                log.warning("%d episodes wait (%s)", len(due) - count, error)
                return count
            name = ids.encode(ids.Kind.RUN, run_id)
            unexpected = not isinstance(error, OctavoError)
            log.warning("%s leaves no episode: %s", name, error, exc_info=unexpected)
        events.drop(event)
    return len(due)


def _record(run_id: UUID) -> None:
    row = Run.objects.filter(id=run_id).first()
    if row is None:
        return
    facts = run_facts(row)
    episode = episodes.tell(facts, run_view(row), journal.read_events(run_id))
    memory.record_episode(
        scope=activation.scope_of(facts),
        space=episode.space,
        summary=episode.text,
        why=f"What came of {ids.encode(ids.Kind.RUN, run_id)}.",
        metadata=episode.metadata,
        sources=episode.sources,
        step=STEP,
    )
