"""Memory of agents: blocks that are always in the prompt, decisions with their evidence, episodes.
Each is an entry, so each change has a reason, a history and a way back.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from apps.context import access, lineage, memory, reads
from apps.context.requirements import MOST_OF_BLOCK as MOST_OF_BLOCK
from apps.context.services import writing
from apps.context.types import EntryKind, MemoryBlock, WriteResult
from octavo.kernel import ids
from octavo.kernel.errors import Conflict, InvalidInput, NotFound
from octavo.kernel.scope import PrincipalKind, Scope

_ATTEMPTS = 5


def recall_core(
    *, scope: Scope, spaces: Sequence[str], agent: str = "", step: str = ""
) -> tuple[MemoryBlock, ...]:
    """As `selectors.get_core_memory`, for a run: the read is logged."""
    found: list[MemoryBlock] = []
    for place in access.readable_spaces(scope=scope, names=spaces, step=step):
        blocks = memory.blocks_of(place, agent=agent, organisation_id=scope.organisation_id)
        shown = [(head.entry_id, head.number) for head, _ in blocks]
        reads.log_whole(scope=scope, step=step, space=place, entries=shown)
        found += [block for _, block in blocks]
    return tuple(found)


def write_block(
    *,
    scope: Scope,
    space: str,
    name: str,
    text: str,
    why: str,
    agent: str = "",
    limit: int | None = None,
    about: str | None = None,
    base_rev: int | None = None,
) -> WriteResult:
    """Make `text` what the block says. `limit` and `about` stay as they are if left out."""
    key = memory.key_of(name, agent=agent)
    place = access.writable_space(scope=scope, name=space)
    head = lineage.head_at(place, key)
    given = {"limit": limit, "about": about}
    metadata = {
        **(head.metadata if head else {}),
        **{field: value for field, value in given.items() if value is not None},
    }
    return _write(scope, space, key, text, why, metadata=metadata, base_rev=base_rev)


def append_to_block(
    *,
    scope: Scope,
    space: str,
    name: str,
    text: str,
    why: str,
    agent: str = "",
    step: str = "",
    approved: bool = False,
) -> WriteResult:
    """Add a line to the block; one that does not exist is begun. Nobody else's change is lost."""

    def longer(said: str) -> str:
        return f"{said.rstrip()}\n{text.strip()}" if said.strip() else text.strip()

    return _edit(scope, space, name, agent, longer, why=why, step=step, approved=approved)


def replace_in_block(
    *,
    scope: Scope,
    space: str,
    name: str,
    old: str,
    new: str,
    why: str,
    agent: str = "",
    step: str = "",
    approved: bool = False,
) -> WriteResult:
    """Put `new` in the place of `old`, which must stand in the block exactly once."""

    def changed(said: str) -> str:
        if not old or said.count(old) != 1:
            raise InvalidInput(
                f"The text to replace stands {said.count(old) if old else 0} times in the block "
                f"{name!r}: quote a part that stands there exactly once. It says now:\n{said}",
                errors=[{"path": "/old", "detail": "must stand in the block exactly once"}],
            )
        return said.replace(old, new).strip()

    return _edit(
        scope, space, name, agent, changed, why=why, step=step, approved=approved, exists=True
    )


def record_decision(
    *,
    scope: Scope,
    space: str,
    decided: str,
    why: str,
    alternatives: Sequence[Mapping[str, Any]] = (),
    evidence: Sequence[Mapping[str, Any]] = (),
    outcome: str = "",
    key: str = "",
    step: str = "",
    approved: bool = False,
) -> WriteResult:
    """Keep what was decided, against what, on which evidence and how it went. The same `key` again,
    with an `outcome`, makes a further revision.

    An alternative is `{"option": …, "reason": …}`; evidence is what `sources` of an entry hold.
    """
    lines = [f"# {decided.strip()}", f"Because: {why.strip()}"]
    lines += [
        f"- Not {a.get('option', '')}: {a.get('reason', '')}".rstrip(": ") for a in alternatives
    ]
    lines += [f"Outcome: {outcome.strip()}"] if outcome.strip() else []
    return _write(
        scope,
        space,
        key or f"decisions/{_name_of(scope)}",
        "\n\n".join(lines) + "\n",
        why,
        kind=EntryKind.DECISION,
        metadata={
            "decided": decided.strip(),
            "alternatives": [dict(alternative) for alternative in alternatives],
            "outcome": outcome.strip(),
        },
        sources=evidence,
        step=step,
        approved=approved,
    )


def record_episode(
    *,
    scope: Scope,
    space: str,
    summary: str,
    why: str,
    metadata: Mapping[str, Any] | None = None,
    sources: Sequence[Mapping[str, Any]] = (),
    step: str = "",
) -> WriteResult:
    """Keep what happened in a run, under the run's id: `episodes/run_…`."""
    return _write(
        scope,
        space,
        memory.episode_key(_name_of(scope)),
        summary,
        why,
        kind=EntryKind.EPISODE,
        metadata=metadata,
        sources=sources,
        step=step,
    )


def _edit(
    scope: Scope,
    space: str,
    name: str,
    agent: str,
    change: Callable[[str], str],
    *,
    why: str,
    step: str,
    approved: bool,
    exists: bool = False,
) -> WriteResult:
    """The agent's own block of that name, else the shared one; made from what it says now, and
    again if somebody else was faster.
    """
    for _ in range(_ATTEMPTS):
        place = access.writable_space(scope=scope, name=space, step=step, approved=approved)
        blocks = memory.blocks_of(place, agent=agent, organisation_id=scope.organisation_id)
        named = [(head, block) for head, block in blocks if block.name == name]
        if not named and exists:
            known = ", ".join(block.name for _, block in blocks) or "none"
            raise NotFound(f"{space!r} has no memory block {name!r}. There are: {known}.")
        head, block = named[-1] if named else (None, None)
        try:
            return _write(
                scope,
                space,
                block.key if block else memory.key_of(name, agent=agent),
                change(block.text if block else ""),
                why,
                metadata=head.metadata if head else {},
                base_rev=head.number if head else 0,
                step=step,
                approved=approved,
            )
        except Conflict:
            continue
    raise Conflict(f"The memory block {name!r} is being changed by others. Try again.")


def _write(
    scope: Scope,
    space: str,
    key: str,
    text: str,
    why: str,
    *,
    kind: EntryKind = EntryKind.BLOCK,
    **more: Any,
) -> WriteResult:
    """What an agent writes is untrusted: it may pass on what it has read."""
    by_agent = scope.principal.kind is PrincipalKind.AGENT
    return writing.write_entry(
        scope=scope,
        space=space,
        key=key,
        content=text,
        why=why,
        kind=kind,
        trust="untrusted" if by_agent else "trusted",
        **more,
    )


def _name_of(scope: Scope) -> str:
    """The run's public id; outside of a run, one of its own."""
    return ids.encode(ids.Kind.RUN, scope.run_id) if scope.run_id else str(ids.new())
