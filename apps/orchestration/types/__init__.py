"""What other layers know of orchestration, one module a subject."""
