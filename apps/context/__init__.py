"""Layer 4: the shared context store. Gives agents versioned, searchable, citable text."""
