"""An agent of the OpenAI Agents SDK as an external run."""
