"""Small files that outlive a process: written whole or not at all, readable by their owner only."""

import os
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson
from dotenv import dotenv_values

_NOTE = "# Written by `make up`: addresses and keys. The environment and .env win over it.\n"


def write_private(path: Path, content: bytes) -> None:
    """Replace `path` atomically; mode 0600."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def read_record(path: Path) -> dict[str, Any]:
    """The JSON object in `path`; empty when there is none or it cannot be read as one."""
    try:
        found = orjson.loads(path.read_bytes())
    except (FileNotFoundError, orjson.JSONDecodeError):
        return {}
    return found if isinstance(found, dict) else {}


def write_record(path: Path, record: Mapping[str, Any]) -> None:
    write_private(path, orjson.dumps(dict(record), option=orjson.OPT_INDENT_2) + b"\n")


def read_environment(path: Path) -> dict[str, str]:
    """The settings in an env file; empty when there is none."""
    return {key: value for key, value in dotenv_values(path).items() if value}


def write_environment(path: Path, values: Mapping[str, str]) -> None:
    """Write settings so that `read_environment` gives the same values back."""
    for name, value in values.items():
        if not re.fullmatch(r"[A-Z][A-Z0-9_]*", name):
            raise ValueError(f"{name!r} is not the name of a setting.")
        if "${" in value or "\n" in value:
            raise ValueError(f"The value of {name} holds `${{` or a line break; quote it in .env.")
    lines = [f"{name}='{_escaped(value)}'\n" for name, value in sorted(values.items())]
    write_private(path, (_NOTE + "".join(lines)).encode())


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace("'", "\\'")
