"""Takes a space back, names its moments, lets it branch, and brings a branch home: each in one
transaction, each a change that can be undone like any other.
"""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from django.db import IntegrityError, connection, transaction

from apps.context import access, lexicon, lineage, requirements, restoring, revising, views
from apps.context.models import Revision, Snapshot, Space
from apps.context.restoring import Reason, Target
from apps.context.services import spaces
from apps.context.types import (
    Change,
    Changed,
    ChangeKind,
    Moment,
    Operation,
    SnapshotView,
    SpaceKind,
    SpaceView,
)
from apps.governance.services import decisions
from apps.governance.types import Action, Resource
from octavo.kernel import audit
from octavo.kernel.errors import Conflict, InvalidInput, NotFound
from octavo.kernel.scope import Scope

# For each key that changed after `seq`: its head, and what the layers showed at `seq`.
_CHANGED = """
SELECT e.key,
  (SELECT v.id FROM revision AS v WHERE v.entry_id = e.id AND v.number = e.head_number) AS head,
  (SELECT v.id FROM unnest(%(spaces)s::uuid[], %(seqs)s::bigint[])
     WITH ORDINALITY AS layer (space_id, seq, depth)
   JOIN entry AS o ON o.space_id = layer.space_id AND o.key = e.key
   JOIN revision AS v ON v.entry_id = o.id AND v.seq <= layer.seq
   ORDER BY layer.depth, v.seq DESC LIMIT 1) AS target
FROM entry AS e
WHERE e.id IN (SELECT entry_id FROM revision WHERE space_id = %(space)s AND seq > %(seq)s)
ORDER BY e.key
"""


def take_snapshot(*, scope: Scope, space: str, name: str) -> SnapshotView:
    """Name the present sequence number. Raises `Conflict` if the name is taken."""
    spaces.check_name(name, what="A snapshot")
    place = access.writable_space(scope=scope, name=space)
    try:
        with transaction.atomic():
            locked = revising.lock_space(place.id)
            snapshot = Snapshot.objects.create(
                space=locked, name=name, seq=locked.seq, author_name=scope.principal.name
            )
            audit.record(
                scope=scope,
                action="context.snapshot",
                target=f"{space}@{name}",
                payload={"seq": locked.seq},
            )
    except IntegrityError:
        raise Conflict(
            f"The space {space!r} has a snapshot {name!r} already. Choose another name, or delete "
            "that one first."
        ) from None
    snapshot.refresh_from_db()
    return views.snapshot_view(snapshot)


def delete_snapshot(*, scope: Scope, space: str, name: str) -> None:
    """Forget the name; the history it named stays."""
    place = access.writable_space(scope=scope, name=space)
    with transaction.atomic():
        if not place.snapshots.filter(name=name).delete()[0]:
            raise _no_snapshot(place, name)
        audit.record(scope=scope, action="context.snapshot.delete", target=f"{space}@{name}")


def preview_rollback(*, scope: Scope, space: str, to: int | str) -> Changed:
    """What `roll_back` would do now."""
    place = access.readable_space(scope=scope, name=space)
    seq = _seq_of(place, to)
    changes = tuple(change_of(target) for target in _targets(place, seq))
    return Changed(space=space, seq=place.seq, to=seq, changes=changes, preview=True)


def roll_back(
    *,
    scope: Scope,
    space: str,
    to: int | str,
    why: str,
    step: str = "",
    approved: bool = False,
) -> Changed:
    """Make the space say what it said after change `to`, or at the snapshot of that name.

    A change like any other, so it is undone by going back to the sequence number before it. Keys
    that say the same already get no revision; when all do, nothing happens.
    """
    requirements.check_why(why)
    place = access.writable_space(scope=scope, name=space, step=step, approved=approved)
    with transaction.atomic():
        locked = revising.lock_space(place.id)
        seq = _seq_of(locked, to)
        if done := _done_by_step(scope, locked, step):
            return Changed(space=space, seq=done, to=seq, changes=())
        targets = _targets(locked, seq)
        reason = Reason(operation=Operation.ROLLBACK, why=why.strip(), step=step)
        moved = 0
        if targets:
            moved = restoring.restore(scope=scope, space=locked, targets=targets, reason=reason)
        now = locked.seq + bool(targets)
        audit.record(
            scope=scope,
            action="context.rollback",
            target=space,
            payload={"to": seq, "seq": now, "keys": len(targets), "why": why},
        )
    lexicon.note_change(space_id=place.id, chunks=moved)
    changes = tuple(change_of(target) for target in targets)
    return Changed(space=space, seq=now, to=seq, changes=changes)


def create_branch(*, scope: Scope, space: str, name: str, at: Moment | None = None) -> SpaceView:
    """A space of its own name that shows what `space` showed at `at` until it is written to."""
    spaces.check_name(name, what="A branch")
    decisions.check(scope=scope, action=Action.SPACE_MANAGE, resource=Resource.project_of(scope))
    place = access.readable_space(scope=scope, name=space)
    try:
        with transaction.atomic():
            locked = revising.lock_space(place.id)
            asked = lineage.seq_at(locked, at)
            seq = locked.seq if asked is None else asked
            _check_seq(locked, seq)
            branch = _branch_of(locked, name, seq)
            audit.record(
                scope=scope,
                action="context.branch",
                target=name,
                payload={"parent": space, "seq": seq},
            )
    except IntegrityError:
        raise spaces.taken(name) from None
    branch.refresh_from_db()
    return views.space_view(branch)


def _branch_of(parent: Space, name: str, seq: int) -> Space:
    branch = Space(
        organisation_id=parent.organisation_id,
        project_id=parent.project_id,
        name=name,
        kind=SpaceKind(parent.kind),
        parent=parent,
        base_seq=seq,
    )
    branch.entry_count, branch.chunk_count = lineage.count_present(lineage.layers_of(parent, seq))
    branch.save(force_insert=True)
    return branch


def _targets(space: Space, seq: int) -> list[Target]:
    layers = lineage.layers_of(space, seq)
    values: dict[str, Any] = {
        "space": space.id,
        "seq": seq,
        "spaces": [layer.space.id for layer in layers],
        "seqs": [layer.seq for layer in layers],
    }
    with connection.cursor() as cursor:
        cursor.execute(_CHANGED, values)
        rows = cursor.fetchall()
    known = _revisions({row[1] for row in rows} | {row[2] for row in rows})
    targets = [Target(key=key, head=known.get(h), revision=known.get(t)) for key, h, t in rows]
    return [target for target in targets if restoring.differs(target.head, target.revision)]


def _revisions(wanted: set[UUID | None]) -> Mapping[UUID | None, Revision]:
    named = [key for key in wanted if key is not None]
    found = Revision.objects.filter(id__in=named).defer("chunks", "starts")
    return {revision.id: revision for revision in found}


def change_of(target: Target) -> Change:
    """What becomes of the key, by revision numbers."""
    before = target.head.number if restoring.is_there(target.head) else None
    after = target.revision.number if restoring.is_there(target.revision) else None
    kind = ChangeKind.REVISE
    if before is None or after is None:
        kind = ChangeKind.ADD if before is None else ChangeKind.REMOVE
    return Change(key=target.key, kind=kind, before=before, after=after)


def _seq_of(space: Space, to: int | str) -> int:
    if isinstance(to, str):
        snapshot = space.snapshots.filter(name=to).first()
        if snapshot is None:
            raise _no_snapshot(space, to)
        return snapshot.seq
    _check_seq(space, to)
    return to


def _check_seq(space: Space, seq: int) -> None:
    if not 0 <= seq <= space.seq:
        raise InvalidInput(
            f"The space {space.name!r} has no sequence number {seq}: it is at {space.seq}. Name "
            "one from 0 to that.",
            errors=[{"path": "/to", "detail": f"0 to {space.seq}"}],
        )


def _done_by_step(scope: Scope, space: Space, step: str) -> int | None:
    """The sequence number at which this step of this run rolled back before it was tried again."""
    if scope.run_id is None or not step:
        return None
    done = Revision.objects.filter(space=space, run_id=scope.run_id, step=step)
    return done.values_list("seq", flat=True).first()


def _no_snapshot(space: Space, name: str) -> NotFound:
    names: Sequence[str] = list(space.snapshots.order_by("-id").values_list("name", flat=True)[:10])
    known = ", ".join(names) or "none"
    return NotFound(
        f"The space {space.name!r} has no snapshot {name!r}; the newest it has: {known}."
    )
