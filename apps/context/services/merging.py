"""Brings a branch home. What one side alone changed is taken; what both changed is asked about, and
nothing is merged until all of it is answered.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import connection, transaction
from django.db.models.functions import Now

from apps.context import (
    access,
    chunking,
    embeddings,
    history,
    lexicon,
    lineage,
    requirements,
    restoring,
    revising,
)
from apps.context.models import Revision, Space
from apps.context.restoring import Reason, Target
from apps.context.services import versions
from apps.context.types import (
    Changed,
    EntryKind,
    MergeConflict,
    Operation,
    Resolution,
    Side,
    SpaceKind,
)
from octavo.kernel import audit
from octavo.kernel.errors import Conflict, InvalidInput
from octavo.kernel.scope import Scope

_SHOWN = 20  # conflicts whose texts are told

_SIDES = """
SELECT e.key, theirs.id,
  (SELECT v.id FROM unnest(%(spaces)s::uuid[], %(bases)s::bigint[])
     WITH ORDINALITY AS layer (space_id, seq, depth)
   JOIN entry AS o ON o.space_id = layer.space_id AND o.key = e.key
   JOIN revision AS v ON v.entry_id = o.id AND v.seq <= layer.seq
   ORDER BY layer.depth, v.seq DESC LIMIT 1) AS base,
  (SELECT v.id FROM unnest(%(spaces)s::uuid[], %(heads)s::bigint[])
     WITH ORDINALITY AS layer (space_id, seq, depth)
   JOIN entry AS o ON o.space_id = layer.space_id AND o.key = e.key
   JOIN revision AS v ON v.entry_id = o.id AND v.seq <= layer.seq
   ORDER BY layer.depth, v.seq DESC LIMIT 1) AS ours
FROM entry AS e
JOIN revision AS theirs ON theirs.entry_id = e.id AND theirs.number = e.head_number
WHERE e.space_id = %(branch)s ORDER BY e.key
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sides:
    """What a key says in the branch, in the parent, and where the branch began."""

    key: str
    base: Revision | None
    ours: Revision | None
    theirs: Revision | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Plan:
    targets: Sequence[Target]
    texts: Sequence[tuple[_Sides, str]]


def merge_branch(
    *,
    scope: Scope,
    space: str,
    branch: str,
    why: str,
    resolutions: Mapping[str, Resolution] | None = None,
    step: str = "",
    approved: bool = False,
) -> Changed:
    """Take into `space` what `branch` changed, and close the branch.

    Raises `Conflict` with the keys that both changed, and their texts, unless `resolutions` says
    for each whose text stands, or gives another; then nothing is merged.
    """
    requirements.check_why(why)
    answers = resolutions or {}
    place = access.writable_space(scope=scope, name=space, step=step, approved=approved)
    source = access.readable_space(scope=scope, name=branch)
    _check_pair(place, source)
    model_id = _embed(scope, place, answers, step)
    reason = Reason(operation=Operation.MERGE, why=why.strip(), step=step)
    with transaction.atomic():
        locked = revising.lock_space(place.id)
        source = revising.lock_space(source.id)
        plan = _plan(scope, locked, source, answers)
        moved = 0
        if plan.targets:
            moved = restoring.restore(
                scope=scope, space=locked, targets=plan.targets, reason=reason
            )
        for sides, text in plan.texts:
            locked.refresh_from_db(fields=["seq"])
            draft = _draft(locked, sides, text, reason, model_id)
            revised = revising.revise(scope=scope, space=locked, draft=draft)
            moved += revised.born + revised.died
        locked.refresh_from_db(fields=["seq"])
        Space.objects.filter(id=source.id).update(merged_at=Now())
        audit.record(
            scope=scope,
            action="context.merge",
            target=space,
            payload={"branch": branch, "seq": locked.seq, "why": why},
        )
    lexicon.note_change(space_id=place.id, chunks=moved)
    changed = [*plan.targets, *(_target(sides) for sides, _ in plan.texts)]
    return Changed(
        space=space,
        seq=locked.seq,
        to=source.seq,
        changes=tuple(versions.change_of(target) for target in changed),
    )


def embed_resolutions(*, scope: Scope, space: str, resolutions: Mapping[str, Resolution]) -> None:
    """Have vectors for the texts of the answers, so that `merge_branch` calls no model."""
    _embed(scope, access.writable_space(scope=scope, name=space), resolutions, "")


def preview_merge(*, scope: Scope, space: str, branch: str) -> Changed:
    """What `merge_branch` would take over now; keys that both changed come with the branch's
    side.
    """
    place = access.readable_space(scope=scope, name=space)
    source = access.readable_space(scope=scope, name=branch)
    _check_pair(place, source)
    changes = [
        versions.change_of(_target(sides))
        for sides in _sides(place, source)
        if restoring.differs(sides.base, sides.theirs)
        and restoring.differs(sides.ours, sides.theirs)
    ]
    return Changed(space=space, seq=place.seq, to=source.seq, changes=tuple(changes), preview=True)


def close_branch(*, scope: Scope, branch: str, why: str) -> None:
    """Refuse what a branch says: it takes no more writes, and nothing of it is merged."""
    requirements.check_why(why)
    place = access.writable_space(scope=scope, name=branch)
    if place.parent_id is None:
        raise InvalidInput(f"{branch!r} is no branch, so it cannot be closed.")
    with transaction.atomic():
        locked = revising.lock_space(place.id)
        Space.objects.filter(id=locked.id).update(merged_at=Now())
        audit.record(
            scope=scope, action="context.branch.close", target=branch, payload={"why": why}
        )


def _check_pair(place: Space, branch: Space) -> None:
    if branch.parent_id != place.id:
        raise InvalidInput(
            f"{branch.name!r} is no branch of the space {place.name!r}. List its branches.",
            errors=[{"path": "/branch", "detail": f"not a branch of {place.name}"}],
        )


def _plan(scope: Scope, place: Space, branch: Space, answers: Mapping[str, Resolution]) -> _Plan:
    targets, texts, conflicts = [], [], []
    for sides in _sides(place, branch):
        changed_here = restoring.differs(sides.base, sides.ours)
        changed_there = restoring.differs(sides.base, sides.theirs)
        if not changed_there or not restoring.differs(sides.ours, sides.theirs):
            continue
        answer = answers.get(sides.key) if changed_here else Resolution(side=Side.THEIRS)
        if answer is None:
            conflicts.append(sides)
        elif answer.content is not None:
            texts.append((sides, answer.content))
        elif answer.side is Side.THEIRS:
            targets.append(_target(sides))
    if conflicts:
        raise _refused(scope, place, branch, conflicts)
    return _Plan(targets=targets, texts=texts)


def _target(sides: _Sides) -> Target:
    return Target(key=sides.key, head=sides.ours, revision=sides.theirs)


def _sides(place: Space, branch: Space) -> Iterator[_Sides]:
    now = lineage.layers_of(place)
    then = lineage.layers_of(place, branch.base_seq)
    values: dict[str, Any] = {
        "branch": branch.id,
        "spaces": [layer.space.id for layer in now],
        "heads": [layer.seq for layer in now],
        "bases": [layer.seq for layer in then],
    }
    with connection.cursor() as cursor:
        cursor.execute(_SIDES, values)
        rows = cursor.fetchall()
    known = Revision.objects.in_bulk([key for row in rows for key in row[1:] if key])
    for key, theirs, base, ours in rows:
        yield _Sides(key=key, base=known.get(base), ours=known.get(ours), theirs=known.get(theirs))


def _embed(scope: Scope, place: Space, answers: Mapping[str, Resolution], step: str) -> UUID | None:
    """The model whose vectors the given texts now have; outside of any transaction."""
    pieces = [
        piece
        for key, answer in answers.items()
        for piece in chunking.split_entry(answer.content or "", key=key, kind=SpaceKind(place.kind))
    ]
    texts = {piece.hash: piece.indexed for piece in pieces if piece.indexed}
    return embeddings.ensure(scope=scope, texts=texts, step=step).model_id if texts else None


def _draft(
    place: Space, sides: _Sides, text: str, reason: Reason, model_id: UUID | None
) -> revising.Draft:
    said = sides.theirs if restoring.is_there(sides.theirs) else sides.ours
    draft = revising.Draft(
        key=sides.key,
        operation=Operation.MERGE,
        why=reason.why,
        kind=EntryKind(said.kind) if said else EntryKind.DOCUMENT,
        pieces=chunking.split_entry(text, key=sides.key, kind=SpaceKind(place.kind)),
        text_hash=revising.hash_of(text),
        model_id=model_id,
        metadata=said.metadata if said else {},
        trust=_trust(sides),
        step=reason.step,
    )
    requirements.check(draft, content=text)
    return draft


def _trust(sides: _Sides) -> str:
    labels = {revision.trust for revision in (sides.ours, sides.theirs) if revision}
    return "untrusted" if "untrusted" in labels else "trusted"


def _refused(scope: Scope, place: Space, branch: Space, conflicts: Sequence[_Sides]) -> Conflict:
    shown = [_conflict(scope, sides) for sides in conflicts[:_SHOWN]]
    keys = [sides.key for sides in conflicts]
    return Conflict(
        f"{len(keys)} keys were changed both in {place.name!r} and in {branch.name!r}, so nothing "
        "was merged. Send `resolutions`: for each key `ours`, `theirs` or a text.",
        keys=keys,
        conflicts=[
            {"key": c.key, "base": c.base, "ours": c.ours, "theirs": c.theirs} for c in shown
        ],
    )


def _conflict(scope: Scope, sides: _Sides) -> MergeConflict:
    def text(revision: Revision | None) -> str | None:
        if not restoring.is_there(revision):
            return None
        return history.text_of(revision, organisation_id=scope.organisation_id)

    return MergeConflict(
        key=sides.key, base=text(sides.base), ours=text(sides.ours), theirs=text(sides.theirs)
    )
