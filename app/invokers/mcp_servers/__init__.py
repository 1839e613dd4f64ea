"""MCP servers over streamable HTTP, through the official client and the egress guard."""
