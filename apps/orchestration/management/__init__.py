"""Terminal commands of the orchestration layer."""
