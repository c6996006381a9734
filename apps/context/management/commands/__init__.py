"""Terminal commands of the context store."""
