"""Layer 5: versioned agent definitions, and the agent loop as pure decisions over a folded journal."""
