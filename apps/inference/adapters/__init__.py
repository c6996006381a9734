"""Outbound protocols of inference: how a model is reached once policy and budget have agreed."""
