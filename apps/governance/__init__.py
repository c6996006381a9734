"""Layer 7: decides, bounds and records.

It knows principals, actions and resources, and nothing of what they are.
"""
