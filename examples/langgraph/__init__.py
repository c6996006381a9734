"""A LangGraph graph as an external run."""
