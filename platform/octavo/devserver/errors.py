"""What stops a start. The message names the thing, the cause and the next step; a traceback would
hide it."""


class StartError(RuntimeError):
    """Shown to the operator as it is, without a traceback."""
