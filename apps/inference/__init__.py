"""Layer 2: one governed call to any model.

Gives the layers above chat and embeddings by route name.
"""
