"""Logs go to standard error, one line each, with the run and trace they belong to."""

from typing import Any


def logging_config(*, level: str, form: str) -> dict[str, Any]:
    """`form` is `text` for people or `json` for a log store."""
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "text": {"()": "octavo.kernel.logs.TextFormatter"},
            "json": {"()": "octavo.kernel.logs.JsonFormatter"},
        },
        "handlers": {
            "stderr": {
                "class": "logging.StreamHandler",
                "formatter": "json" if form == "json" else "text",
            }
        },
        "root": {"handlers": ["stderr"], "level": level.upper()},
        "loggers": {
            "uvicorn.access": {"level": "WARNING"},
            "psycopg.pool": {"level": "ERROR"},  # each try to connect; what fails says so itself
            "django.server": {"level": "WARNING"},
            "httpx2": {"level": "WARNING"},  # a line for each call of a tool server
            "mcp": {"level": "WARNING"},  # names sessions, which are credentials
        },
    }
