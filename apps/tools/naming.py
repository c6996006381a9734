"""Names that models see: always `server__tool`, so that no server can take another's place.

What models accept: `^[a-zA-Z0-9_-]{1,64}$`.
"""

import hashlib
import re
from collections.abc import Iterable

from octavo.kernel.errors import Conflict, InvalidInput

SEPARATOR = "__"
_LONGEST = 64
_TAIL = 8
_SERVER = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,18}[a-z0-9])?")
_ODD = re.compile(r"[^a-zA-Z0-9_-]")
_RESERVED = frozenset(
    {
        *("agent", "agents", "builtin", "call", "context", "handoff", "http", "mcp", "octavo"),
        *("platform", "run", "search", "system", "tool", "tools", "workflow"),
    }
)
_LOOKS_LIKE = str.maketrans({"0": "o", "1": "l", "i": "l", "5": "s", "-": None})


def check_server_name(name: str) -> None:
    """Raises `InvalidInput` for a name that cannot begin `server__tool`."""
    if not _SERVER.fullmatch(name):
        raise _bad_name(
            f"{name!r} cannot name a tool server: use 1 to 20 lower-case letters, digits and '-', "
            "beginning and ending with a letter or digit."
        )
    if _folded(name) in {_folded(reserved) for reserved in _RESERVED}:
        raise _bad_name(f"{name!r} is, or looks like, a name of Octavo's own. Choose another.")


def check_unlike(name: str, others: Iterable[str]) -> None:
    """Raises `Conflict` when a person could take `name` for one of `others`."""
    for other in others:
        if _folded(other) == _folded(name):
            same = "There is already" if other == name else f"{name!r} looks like"
            raise Conflict(f"{same} a tool server {other!r} in this project. Choose another name.")


def public_name(server: str, tool: str, *, unique: bool = True) -> str:
    """`server__tool`; ends in a hash when `tool` had to be cut or rewritten, or is not `unique`."""
    written = _ODD.sub("_", tool)
    full = f"{server}{SEPARATOR}{written}"
    if unique and written == tool and len(full) <= _LONGEST:
        return full
    tail = hashlib.sha256(f"{server}/{tool}".encode()).hexdigest()[:_TAIL]
    return f"{full[: _LONGEST - _TAIL - 1]}_{tail}"


def is_upstream(name: str) -> bool:
    """Whether a tool of a server can have this name."""
    return SEPARATOR in name


def _folded(name: str) -> str:
    return name.translate(_LOOKS_LIKE)


def _bad_name(detail: str) -> InvalidInput:
    return InvalidInput(detail, errors=[{"path": "/name", "detail": detail}])
