"""Organisations, teams, projects, people, services their keys. Gives every layer a Scope."""
