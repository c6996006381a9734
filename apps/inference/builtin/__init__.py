"""The built-in model server: a small chat model and an embedding model behind OpenAI's protocol.

One process of its own, started as `python -m apps.inference.builtin`: nothing else in Octavo
loads a model.
"""
