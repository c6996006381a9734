"""Layer 8: usage, cost, spans and metrics.

It records what the layers above tell it, and knows nothing of them.
"""
