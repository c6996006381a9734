"""The end of a run, told to those who react to it: in the transaction that ends the run."""

from uuid import UUID

from octavo.kernel import events, sql

RUN_FINISHED = "orchestration.run_finished"
EPISODE_DUE = "orchestration.episode_due"

# Most projects react to nothing, and then nothing is written.
_IS_AWAITED = """
SELECT 1 FROM run JOIN run_trigger ON run_trigger.project_id = run.project_id
WHERE run.id = %(id)s AND run.parent_id IS NULL AND run.tool = ''
  AND run_trigger.kind = 'event' AND run_trigger.settings ->> 'on' = 'run_finished' LIMIT 1
"""


def announce_end(run_id: UUID, *, is_tainted: bool) -> None:
    """Children and single tool calls end silently: they are steps of other work."""
    if sql.run(_IS_AWAITED, id=run_id):
        events.emit(RUN_FINISHED, run_id=str(run_id), tainted=int(is_tainted))


def announce_episode(run_id: UUID) -> None:
    """A run whose agent remembers what it did has ended by itself."""
    events.emit(EPISODE_DUE, run_id=str(run_id))
