"""Organisations, teams, projects, people, services and their keys: gives every layer above a Scope."""
