"""Every setting, read once: the environment wins, then `.env`, then what `make up` wrote.

`.env.example` documents each name; a test compares the two.
"""

import os
import re
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured
from dotenv import dotenv_values

ROOT = Path(__file__).resolve().parents[3]
GENERATED = "octavo.env"  # in the data directory: addresses and keys of the embedded servers

data_dir = Path(
    os.environ.get("OCTAVO_DATA_DIR")
    or dotenv_values(ROOT / ".env").get("OCTAVO_DATA_DIR")
    or ROOT / ".data"
)


def _load() -> dict[str, str]:
    layers = (dotenv_values(data_dir / GENERATED), dotenv_values(ROOT / ".env"), os.environ)
    return {key: value for layer in layers for key, value in layer.items() if value}


_values = _load()


def text(name: str, default: str = "") -> str:
    return _values.get(name, default).strip()


def integer(name: str, default: int, *, least: int = 0, most: int = 2**31 - 1) -> int:
    value = text(name)
    if not value:
        return default
    if not re.fullmatch(r"-?\d{1,12}", value) or not least <= int(value) <= most:
        raise ImproperlyConfigured(
            f"{name} is {value!r}; it must be a whole number from {least} to {most}. "
            "Correct it in the environment or .env."
        )
    return int(value)


def boolean(name: str, default: bool = False) -> bool:
    value = text(name).lower()
    if not value:
        return default
    if value not in {"1", "true", "yes", "on", "0", "false", "no", "off"}:
        raise ImproperlyConfigured(
            f"{name} is {value!r}; write 1 or 0. Correct it in the environment or .env."
        )
    return value in {"1", "true", "yes", "on"}


def listed(name: str) -> tuple[str, ...]:
    """A comma-separated setting, blanks dropped."""
    return tuple(part.strip() for part in text(name).split(",") if part.strip())
