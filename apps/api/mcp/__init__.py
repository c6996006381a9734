"""`/mcp`: tools, agents and context for every MCP client, under the same rules as inside."""
