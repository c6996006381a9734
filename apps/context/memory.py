"""Core memory as entries: where a block lies, and what the blocks of a space say now."""

from uuid import UUID

from apps.context import history, lineage
from apps.context.models import Revision, Space
from apps.context.requirements import BLOCK_LIMIT
from apps.context.types import EntryKind, MemoryBlock

ROOT = "core/"
_MOST = 500


def key_of(name: str, *, agent: str = "") -> str:
    return f"{ROOT}{agent}/{name}" if agent else f"{ROOT}{name}"


def episode_key(run: str) -> str:
    """Where the episode of a run lies, by the run's public id."""
    return f"episodes/{run}"


def blocks_of(
    space: Space, *, agent: str, organisation_id: UUID
) -> list[tuple[Revision, MemoryBlock]]:
    """Those of all who read the space, then those of `agent`; each by name."""
    heads = lineage.list_present(lineage.layers_of(space), limit=_MOST, prefix=ROOT)
    wanted = []
    for head in heads:
        owner, _, name = head.entry.key.removeprefix(ROOT).rpartition("/")
        if head.kind == EntryKind.BLOCK and owner in {"", agent}:
            wanted.append((owner, name, head))
    wanted.sort(key=lambda found: found[:2])
    return [
        (head, _block(space, head, name, owner, organisation_id)) for owner, name, head in wanted
    ]


def _block(
    space: Space, head: Revision, name: str, owner: str, organisation_id: UUID
) -> MemoryBlock:
    whole = Revision.objects.get(id=head.id)
    return MemoryBlock(
        space=space.name,
        key=head.entry.key,
        name=name,
        agent=owner,
        text=history.text_of(whole, organisation_id=organisation_id),
        limit=head.metadata.get("limit", BLOCK_LIMIT),
        about=str(head.metadata.get("about", "")),
        revision=head.number,
        trust=head.trust,
    )
