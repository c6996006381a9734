"""Server-sent events: bytes in, `data` payloads out, however the bytes are split.

https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation
"""

_MAX_EVENT = 8 * 2**20


class EventTooLargeError(ValueError):
    """An event grew past 8 MiB without an end."""


class EventParser:
    """Feed it chunks; comments, other fields and empty events are dropped."""

    def __init__(self) -> None:
        self._rest = b""
        self._data: list[bytes] = []
        self._size = 0

    def feed(self, chunk: bytes) -> list[bytes]:
        """The payloads that this chunk completes. Lines may end in LF, CRLF or CR."""
        text = self._rest + chunk
        held = b""
        if text.endswith(b"\r"):  # perhaps half of a CRLF
            text, held = text[:-1], b"\r"
        lines = text.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
        self._rest = lines.pop() + held
        payloads = [payload for line in lines if (payload := self._line(line)) is not None]
        if self._size + len(self._rest) > _MAX_EVENT:
            raise EventTooLargeError("A server-sent event is larger than 8 MiB.")
        return payloads

    def close(self) -> list[bytes]:
        """What a stream that ends without a blank line still holds."""
        return self.feed(b"\n\n")

    def _line(self, line: bytes) -> bytes | None:
        if not line:
            payload = b"\n".join(self._data) if self._data else None
            self._data, self._size = [], 0
            return payload
        field, _, value = line.partition(b":")
        if field == b"data":
            self._data.append(value.removeprefix(b" "))
            self._size += len(value)
        return None
