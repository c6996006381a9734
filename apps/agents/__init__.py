"""Layer 5: versioned agent definitions, the loop as pure decisions over a folded journal."""
