"""Checks that today's code reads a stored journal as the code that wrote it did."""

from uuid import UUID

from apps.agents import selectors as agents
from apps.orchestration import activation, journal, replaying
from apps.orchestration.models import Run
from apps.orchestration.records import Record, RunFacts
from apps.orchestration.rows import run_facts
from apps.orchestration.selectors import get_run, list_runs
from apps.orchestration.types.histories import Replayed
from apps.orchestration.types.runs import RunView
from apps.orchestration.types.serving import RunFilter
from apps.orchestration.workflows import catalog
from octavo.kernel.errors import Conflict
from octavo.kernel.scope import Scope

_PAGE = 100


def replay_run(*, scope: Scope, run_id: UUID) -> Replayed:
    """Fold the journal as far as it goes. Calls nothing, changes nothing.

    Raises `NotFound`, and `Conflict` for a run that a loop outside reports.
    """
    view = get_run(scope=scope, run_id=run_id)
    if view.is_external:
        raise Conflict(
            "The loop of this run is outside of Octavo, so nothing here can say what it would do.",
            head=view.status.value,
        )
    return _check(Run.objects.get(id=run_id))


def replay_runs(
    *, scope: Scope, agent: str | None = None, limit: int = _PAGE
) -> list[tuple[RunView, Replayed]]:
    """The newest runs of the project, or of one agent, that Octavo's own loop drove."""
    wanted = RunFilter(agent=agent or "")
    done: list[tuple[RunView, Replayed]] = []
    before: UUID | None = None
    while len(done) < limit:
        page = list_runs(scope=scope, wanted=wanted, before=before, limit=_PAGE)
        driven = [view for view in page if not view.is_external][: limit - len(done)]
        done += [(view, _check(Run.objects.get(id=view.id))) for view in driven]
        if len(page) < _PAGE:
            break
        before = page[-1].id
    return done


def _check(row: Run) -> Replayed:
    run = run_facts(row)
    definition: replaying.Pinned = None
    if row.agent_version_id is not None:
        definition = agents.get_definition(version_id=row.agent_version_id)
    elif row.workflow_version_id is not None:
        definition = catalog.get_definition(version_id=row.workflow_version_id)
    records = journal.read_events(row.id)
    contents = activation.contents_of(run, records)
    return replaying.check(run, definition, records, contents, inherited=row.forked_at_seq or 0)


def read_journal(run_id: UUID) -> tuple[RunFacts, list[Record]]:
    """A run with its stored events, for whoever keeps histories."""
    row = Run.objects.get(id=run_id)
    return run_facts(row), journal.read_events(run_id)
