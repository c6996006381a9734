"""The OpenAI protocol at `/v1`: a route is a model, and the SDKs work unchanged."""
