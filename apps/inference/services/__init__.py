"""`chat` and `embedding` are governed calls; `discovery` finds the model to start with."""
