"""The mark that ties a test to a behaviour of `manifest.json`."""

from collections.abc import Callable


def behaviour[T: Callable[..., object]](name: str) -> Callable[[T], T]:
    """`name` is a key of the manifest; `test_manifest` compares both directions."""
    return lambda test: test
