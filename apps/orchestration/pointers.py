"""JSON pointers into what a hook is sent.

https://www.rfc-editor.org/rfc/rfc6901
"""

import re
from typing import Any

from octavo.kernel.errors import InvalidInput

_POINTER = re.compile(r"(/([^/~]|~[01])*)*")
_INDEX = re.compile(r"0|[1-9]\d{0,8}")
_LONGEST = 500


def check_pointer(pointer: str) -> None:
    """Raises `InvalidInput` for what is no pointer; "" is the whole document."""
    if len(pointer) > _LONGEST or not _POINTER.fullmatch(pointer):
        detail = "use a JSON pointer such as /issue/title, or leave it out for the whole body."
        raise InvalidInput(
            f"input_path cannot be used: {detail}",
            errors=[{"path": "/input_path", "detail": detail}],
        )


def resolve(document: Any, pointer: str) -> Any:
    """The value that the pointer names. Raises `InvalidInput` where there is none."""
    found = document
    for part in pointer.split("/")[1:]:
        name = part.replace("~1", "/").replace("~0", "~")
        if isinstance(found, dict) and name in found:
            found = found[name]
        elif isinstance(found, list) and _INDEX.fullmatch(name) and int(name) < len(found):
            found = found[int(name)]
        else:
            raise InvalidInput(f"The body has nothing at {pointer}, which the hook's input is.")
    return found
