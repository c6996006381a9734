"""The way out: upstream MCP servers and guarded HTTP."""
