"""The end of a process: connections to providers are closed before their event loop is."""

from apps.inference.adapters import http


async def close() -> None:
    """Close the running loop's connections; calls still under way on it fail."""
    await http.close()
