"""Layer 1: which models there are, where they live and what they cost.

Gives inference the targets of a route.
"""
