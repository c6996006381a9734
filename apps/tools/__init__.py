"""Layer 3: one registry of tools, each with a schema, a risk, an egress flag, an effect class."""
