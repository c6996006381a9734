"""Reads one file in a process of its own: what ends this process ends nothing else.

    python -m apps.context.parser_process NAME < file

It writes one JSON object: `text` and `metadata`, or the `problem`.
"""

import json
import os
import resource
import subprocess
import sys

from apps.context import parsing
from apps.context.parsing import Parsed
from apps.context.types import UnreadableFile

_SECONDS = 60
_MEMORY = 2 * 2**30  # bytes


def parse(*, name: str, data: bytes) -> Parsed:
    """As `parsing.parse`. A file that takes too long or ends its reader is an `UnreadableFile`."""
    path = os.pathsep.join(place for place in sys.path if place)
    try:
        done = subprocess.run(  # noqa: S603  this module, by the same Python
            [sys.executable, "-m", __name__, name],
            input=data,
            capture_output=True,
            timeout=_SECONDS,
            check=True,
            env={**os.environ, "PYTHONPATH": path},
        )
    except subprocess.TimeoutExpired:
        raise UnreadableFile(
            f"{name} took more than {_SECONDS} s to read. Split it, or save it as text and retry."
        ) from None
    except subprocess.CalledProcessError as ended:
        raise UnreadableFile(
            f"{name} ended the program that read it (code {ended.returncode}). Save it in another "
            "format and retry."
        ) from None
    found = json.loads(done.stdout)
    if "problem" in found:
        raise UnreadableFile(found["problem"])
    return Parsed(text=found["text"], metadata=found["metadata"])


def main() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        parsed = parsing.parse(name=sys.argv[1], data=sys.stdin.buffer.read())
        found = {"text": parsed.text, "metadata": parsed.metadata}
    except UnreadableFile as problem:
        found = {"problem": problem.detail}
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main()
