"""The tools through which agents use the store: what they read is cited, what they write says why.

They take the caller's scope as it is, so an agent sees the spaces that its definition grants.
"""
