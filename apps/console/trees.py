"""Entries as the folders that their keys spell out."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from apps.context.types import EntrySummary


@dataclass(slots=True)
class Folder:
    name: str
    folders: dict[str, "Folder"] = field(default_factory=dict)
    entries: list[tuple[str, EntrySummary]] = field(default_factory=list)

    @property
    def count(self) -> int:
        return len(self.entries) + sum(folder.count for folder in self.folders.values())

    @property
    def sorted_folders(self) -> list["Folder"]:
        return [self.folders[name] for name in sorted(self.folders)]

    @property
    def sorted_entries(self) -> list[tuple[str, EntrySummary]]:
        return sorted(self.entries, key=lambda named: named[0])


def tree_of(entries: Sequence[EntrySummary]) -> Folder:
    """The root folder; a key such as `docs/api.md` is `api.md` in the folder `docs`."""
    root = Folder(name="")
    for entry in entries:
        *path, name = [part for part in entry.key.split("/") if part] or [entry.key]
        folder = root
        for part in path[:8]:
            folder = folder.folders.setdefault(part, Folder(name=part))
        folder.entries.append(("/".join([*path[8:], name]), entry))
    return root
