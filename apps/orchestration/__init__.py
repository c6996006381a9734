"""Layer 6: durable runs. A killed process loses nothing and repeats nothing."""
