"""One line a record, with the run, trace and principal it belongs to."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from types import MappingProxyType

import orjson

_context: ContextVar[MappingProxyType[str, str]] = ContextVar(
    "log_context", default=MappingProxyType({})
)


@contextmanager
def bound(**values: str) -> Iterator[None]:
    """Add `run_id=…, trace_id=…` to every record logged inside."""
    token = _context.set(MappingProxyType({**_context.get(), **values}))
    try:
        yield
    finally:
        _context.reset(token)


class TextFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        moment = datetime.fromtimestamp(record.created, UTC).strftime("%H:%M:%S")
        context = "".join(f" {key}={value}" for key, value in _context.get().items())
        message = record.getMessage().replace("\r", "\\r").replace("\n", "\\n")
        line = f"{moment} {record.levelname.lower()} {record.name}: {message}{context}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


class JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        fields = {
            "at": datetime.fromtimestamp(record.created, UTC),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": _encodable(record.getMessage()),
            **_context.get(),
        }
        if record.exc_info:
            fields["exception"] = _encodable(self.formatException(record.exc_info))
        return orjson.dumps(fields).decode()


def _encodable(text: str) -> str:
    """File names that are not UTF-8 hold lone surrogates, which JSON cannot carry."""
    return text.encode("utf-8", "backslashreplace").decode()
