"""Finds the files below what a person named: hidden, version-control and dependency folders stay
out, and links lead neither round in circles nor out of the folder.
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

SKIPPED_FOLDERS = frozenset(
    {"node_modules", "__pycache__", "venv", "site-packages", "bower_components", "vendor", "target"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """`key` is the path below the folder that was named, with forward slashes. `problem` says why
    there is nothing to read.
    """

    path: Path
    key: str
    problem: str = ""


def find_files(paths: Sequence[Path]) -> Iterator[Found]:
    """Files in a stable order. A file that was named itself is found even if it is hidden."""
    seen: set[tuple[int, int]] = set()
    for path in paths:
        if path.is_dir():
            yield from _below(path, path, seen)
        elif path.is_file():
            yield Found(path=path, key=path.name)
        elif path.exists():
            yield Found(
                path=path, key=path.name, problem="is not a regular file; name a file or folder"
            )
        else:
            yield Found(path=path, key=path.name, problem="does not exist; check the path")


def _below(root: Path, folder: Path, seen: set[tuple[int, int]]) -> Iterator[Found]:
    try:
        status = folder.stat()
        names = sorted(os.listdir(folder))
    except OSError as error:
        reason = error.strerror or "unreadable"
        key = _key(root, folder) if folder != root else root.name
        yield Found(path=folder, key=key, problem=f"cannot be listed: {reason}")
        return
    if (status.st_dev, status.st_ino) in seen:  # reached before, through a link
        return
    seen.add((status.st_dev, status.st_ino))
    for name in names:
        path = folder / name
        if name.startswith(".") or (path.is_dir() and name in SKIPPED_FOLDERS):
            continue
        if path.is_symlink() and not path.resolve().is_relative_to(root.resolve()):
            problem = "is a link out of the folder; name its target to add it"
            yield Found(path=path, key=_key(root, path), problem=problem)
            continue
        if path.is_dir():
            yield from _below(root, path, seen)
        elif path.is_file():
            yield Found(path=path, key=_key(root, path))
        elif path.is_symlink():
            yield Found(path=path, key=_key(root, path), problem="is a link that leads nowhere")


def _key(root: Path, path: Path) -> str:
    return path.relative_to(root).as_posix()
