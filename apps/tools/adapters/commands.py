"""Which programs may be started as tool servers: those the operator named, and no others."""

import os
import shutil
from collections.abc import Iterable

from django.conf import settings

from octavo.kernel.errors import InvalidInput

_FORBIDDEN = ("LD_", "DYLD_", "GLIBC_TUNABLES", "GCONV_PATH")


def resolve(command: str) -> str:
    """The absolute path of an allowed command. Raises `InvalidInput` naming the setting."""
    for allowed in settings.STDIO_COMMANDS:
        path = allowed if os.path.isabs(allowed) else shutil.which(allowed)
        if path and command in {allowed, path}:
            return path
    known = ", ".join(settings.STDIO_COMMANDS) or "none"
    raise InvalidInput(
        f"The command {command!r} is not allowed. Add it to OCTAVO_STDIO_COMMANDS (now: {known}) "
        "and restart Octavo, or name one of those.",
        errors=[{"path": "/command", "detail": "Not in OCTAVO_STDIO_COMMANDS."}],
    )


def check_environment(names: Iterable[str]) -> None:
    """Raises `InvalidInput` for a variable that would change what the allowed command is."""
    for name in names:
        if name.upper().startswith(_FORBIDDEN) or not name or "=" in name or not name.isprintable():
            raise InvalidInput(
                f"A tool server cannot have the environment variable {name!r}. Leave it out.",
                errors=[{"path": f"/env/{name}", "detail": "Not allowed."}],
            )
