"""Workflows: graphs as data, read with exact positions and interpreted as a fold of the journal."""
