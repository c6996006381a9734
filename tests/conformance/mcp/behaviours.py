"""Names the behaviour of MCP that a test shows; `manifest.json` says where it is written."""

from collections.abc import Callable
from typing import Any


def behaviour[T: Callable[..., Any]](name: str) -> Callable[[T], T]:
    """The decorated test is the proof of `name`; test_manifest.py compares both ways."""
    return lambda test: test
