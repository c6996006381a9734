"""The end of a process: connections to tool servers are closed before their event loop is."""

import sys

_ADAPTER = "apps.tools.adapters.mcp_connections"


async def close() -> None:
    """Close the running loop's connections and end the servers that it started."""
    if _ADAPTER not in sys.modules:  # no tool server was ever spoken to
        return
    from apps.tools.adapters import mcp_connections

    await mcp_connections.close()
