"""Inbound protocols: each edge is a pure codec and a thin handler over the services below."""
