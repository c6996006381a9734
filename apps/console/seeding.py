"""What a fresh project holds: the documentation as a space, an agent that quotes it, a space for
notes.

Safe at every start: what is there stays, and only pages that changed are written again.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from apps.agents import selectors as agents
from apps.agents.services import definitions
from apps.agents.types import Access, Definition, SpaceGrant, Strategy
from apps.context import selectors as context
from apps.context.services import spaces, writing
from octavo.kernel.errors import Conflict, NotFound, Unavailable
from octavo.kernel.scope import Scope

HANDBOOK, NOTES, GUIDE = "handbook", "notes", "guide"
_SEEDED = {"seeded": True}
_WHY = "Octavo's own documentation, as it is installed."
_PAGE = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Seeded:
    """`problem` says why pages are missing; the next start tries again."""

    files: int
    changed: int
    problem: str = ""


def seed_project(*, scope: Scope, root: Path) -> Seeded:
    """Both spaces, the documentation found below `root`, and the agent `guide`."""
    spaces.ensure_space(scope=scope, name=HANDBOOK)
    spaces.ensure_space(scope=scope, name=NOTES)
    _ensure_guide(scope)
    return _seed_handbook(scope, root)


def _ensure_guide(scope: Scope) -> None:
    try:
        agents.get_agent(scope=scope, name=GUIDE)
        return
    except NotFound:
        pass
    definition = Definition(
        instructions=(
            "Answer questions about Octavo from the handbook, in its own words where you can. "
            "Name the page you rest on. Say so when the handbook does not answer."
        ),
        tools=("context_search", "context_open"),
        spaces=(SpaceGrant(space=HANDBOOK, access=Access.READ),),
        strategy=Strategy.AUTO,
    )
    try:
        definitions.save_agent(scope=scope, name=GUIDE, definition=definition, create=True)
    except Conflict:  # another start was faster
        return


def _seed_handbook(scope: Scope, root: Path) -> Seeded:
    pages = {path.relative_to(root).as_posix(): path for path in _pages(root)}
    changed = 0
    try:
        for key, path in pages.items():
            written = writing.write_entry(
                scope=scope,
                space=HANDBOOK,
                key=key,
                content=path.read_text(encoding="utf-8"),
                why=_WHY,
                metadata=_SEEDED,
            )
            changed += written.changed
    except Unavailable as error:
        return Seeded(files=len(pages), changed=changed, problem=error.detail)
    if pages:
        changed += _remove_gone(scope, pages.keys())
    return Seeded(files=len(pages), changed=changed)


def _pages(root: Path) -> Iterator[Path]:
    for path in (root / "README.md", root / "apps" / "README.md"):
        if path.is_file():
            yield path
    yield from sorted((root / "docs").rglob("*.md"))


def _remove_gone(scope: Scope, present: Collection[str]) -> int:
    removed = 0
    for entry in context.list_entries(scope=scope, space=HANDBOOK, limit=_PAGE):
        if entry.metadata == _SEEDED and entry.key not in present:
            writing.delete_entry(scope=scope, space=HANDBOOK, key=entry.key, why=_WHY)
            removed += 1
    return removed
