"""A run's children: how many there may be, and how the end of one reaches the other.

A child tells its parent in the transaction that ends it. A parent tells its children by a job, so
that two that end at once never wait for each other's rows; `cancel_orphans` finds what was lost.
"""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from apps.orchestration import inbox, readings, statements
from apps.orchestration.models import Run
from apps.orchestration.records import RunFacts
from apps.orchestration.rows import PUBLIC_STATUS
from apps.orchestration.types.runs import RunStatus
from octavo.kernel import ids, jobs, sql
from octavo.kernel.errors import InvalidInput

DEEPEST = 8
LARGEST_FAMILY = 1000


def check_room(run: RunFacts) -> None:
    """Raises `InvalidInput` where the run may have no further child."""
    if run.depth >= DEEPEST:
        raise InvalidInput(
            f"Agents that call agents may be {DEEPEST} deep, and this one is. Do the work here."
        )
    ((family,),) = sql.run(readings.COUNT_FAMILY, root_id=run.root_id)
    if family >= LARGEST_FAMILY:
        raise InvalidInput(
            f"The run and all its children are {family} already, and may be {LARGEST_FAMILY}. "
            "Give each child more to do."
        )


def tell_parent(
    parent_id: UUID | None,
    *,
    step: str,
    run_id: UUID,
    status: RunStatus,
    output: Mapping[str, Any] | None = None,
    error: Mapping[str, Any] | None = None,
    is_tainted: bool,
) -> None:
    """In the transaction that ends the run: its parent is woken by it, if it has one."""
    if parent_id is None:
        return
    body = {
        "run": ids.encode(ids.Kind.RUN, run_id),
        "step": step,
        "status": status.value,
        "output": output,
        "error": error,
        "tainted": is_tainted,
    }
    inbox.deliver(parent_id, kind="child", body=body, dedupe_key=f"child:{run_id}")


def tell_again(child: Run) -> None:
    """Tell a parent that came back from quarantine how its child ended; the mail was lost then."""
    tell_parent(
        child.parent_id,
        step=child.parent_key,
        run_id=child.id,
        status=PUBLIC_STATUS[child.status],
        output=child.output,
        error=child.error,
        is_tainted=True,
    )


def end_with(run_id: UUID) -> None:
    """In the transaction that ends a run which had children: those that still live end too."""
    jobs.enqueue("orchestration.cancel_children", run_id=str(run_id))


def cancel_children(run_id: UUID) -> int:
    """Ask every live child of an ended run to end; how many there were."""
    live = sql.run(statements.LIVE_CHILDREN, id=run_id)
    for (child_id,) in live:
        inbox.deliver(child_id, kind="cancel", body={}, dedupe_key="cancel")
    return len(live)


def cancel_child(run_id: UUID) -> None:
    """Ask one child to end whose result nobody needs any more."""
    inbox.deliver(run_id, kind="cancel", body={}, dedupe_key="cancel")


def cancel_orphans(*, limit: int = 200) -> int:
    """The same for ended parents whose job was lost; how many children there were."""
    orphans = sql.run(statements.ORPHANS, limit=limit)
    for (child_id,) in orphans:
        inbox.deliver(child_id, kind="cancel", body={}, dedupe_key="cancel")
    return len(orphans)
