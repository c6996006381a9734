"""The lines of all processes in one stream, each behind the name of the process it came from."""

import asyncio
import os
import sys
from typing import TextIO

_COLOURS = {"octavo": 36, "web": 32, "worker": 34, "ingest": 35, "model": 33}
_WIDTH = max(map(len, _COLOURS))
_LONGEST = 2**16


class LogLines:
    """Writes whole lines; colour only on a terminal that wants it (NO_COLOR)."""

    def __init__(self, stream: TextIO = sys.stdout) -> None:
        self._stream = stream
        self.is_terminal = stream.isatty()
        self._coloured = self.is_terminal and not os.environ.get("NO_COLOR")

    def say(self, name: str, line: str) -> None:
        label = f"{name:<{_WIDTH}} |"
        if self._coloured:
            label = f"\x1b[{_COLOURS.get(name, 37)}m{label}\x1b[0m"
        self.write(f"{label} {line}\n")

    def write(self, text: str) -> None:
        try:
            self._stream.write(text)
            self._stream.flush()
        except (BrokenPipeError, ValueError):  # whoever read us is gone; the platform goes on
            self._stream = open(os.devnull, "w")  # noqa: SIM115  lives as long as we do

    async def follow(self, name: str, source: asyncio.StreamReader, kept: list[str]) -> None:
        """Say every line of `source` until it ends; `kept` holds the last ones afterwards."""
        rest = b""
        while chunk := await source.read(_LONGEST):
            *lines, rest = (rest + chunk).split(b"\n")
            if len(rest) > _LONGEST:
                lines, rest = [*lines, rest], b""
            for line in lines:
                self._take(name, line, kept)
        if rest:
            self._take(name, rest, kept)

    def _take(self, name: str, line: bytes, kept: list[str]) -> None:
        text = line.decode(errors="replace").rstrip("\r")
        kept.append(text)
        del kept[:-20]
        self.say(name, text)
