"""PostgreSQL refuses to run as root: under root it runs as an unprivileged account, and no folder
that exists is opened up."""

import os
import pwd
import shutil
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from octavo.devserver.errors import StartError

_CANDIDATES = ("postgres", "nobody")


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerAccount:
    """The operating-system account that a server process runs as."""

    name: str
    uid: int
    gid: int

    def popen_options(self) -> Mapping[str, Any]:
        """Keyword arguments that make `subprocess.Popen` start the process as this account."""
        if self.uid == os.geteuid():
            return {}
        return {"user": self.uid, "group": self.gid, "extra_groups": []}

    def take(self, path: Path) -> None:
        """Make `path` a folder that this account alone can use (root always can)."""
        if self.uid != os.geteuid():
            os.chown(path, self.uid, self.gid)
        path.chmod(0o700)

    def can_enter(self, path: Path) -> bool:
        """Whether every folder from the root down to `path` may be traversed by this account."""
        return all(self._may(folder, stat.S_IXUSR) for folder in (path, *path.parents))

    def can_run(self, program: Path) -> bool:
        return self.can_enter(program.parent) and self._may(program, stat.S_IXUSR)

    def _may(self, path: Path, user_bit: int) -> bool:
        found = path.stat()
        if found.st_uid == self.uid:
            return bool(found.st_mode & user_bit)
        if found.st_gid == self.gid:
            return bool(found.st_mode & user_bit >> 3)
        return bool(found.st_mode & user_bit >> 6)


def server_account() -> ServerAccount:
    """Ourselves; under root the system's `postgres` account, or `nobody` where there is none."""
    if os.geteuid() != 0:
        return ServerAccount(
            name=str(os.geteuid()),
            uid=os.geteuid(),
            gid=os.getegid(),
        )
    for name in _CANDIDATES:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return ServerAccount(name=name, uid=entry.pw_uid, gid=entry.pw_gid)
    raise StartError(
        "PostgreSQL does not run as root, and this system has neither a `postgres` nor a `nobody` "
        "account. "
        "Start Octavo as an ordinary user, or set DATABASE_URL."
    )


def reachable_copy(tree: Path, *, program: str, account: ServerAccount, into: Path) -> Path:
    """`tree`, or a copy of it under `into` where `account` may not run `tree/program` (a checkout
    in root's home)."""
    if account.can_run(tree / program):
        return tree
    copy = into / tree.name
    if not (copy / program).exists():
        unfinished = into / f"{tree.name}.part"
        shutil.rmtree(unfinished, ignore_errors=True)
        shutil.copytree(tree, unfinished, symlinks=True)
        unfinished.rename(copy)
    return copy
