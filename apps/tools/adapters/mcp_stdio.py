"""A tool server as a process of ours: only what the operator allowed, in an empty environment and a
private folder, and never outliving the connection.

https://modelcontextprotocol.io/specification/2025-11-25/basic/transports#stdio
"""

import asyncio
import os
import shutil
import signal
import sys
import tempfile
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import anyio
from anyio.abc import ObjectReceiveStream, ObjectSendStream
from mcp.shared.message import SessionMessage
from mcp_types import jsonrpc_message_adapter

from apps.tools.adapters import commands
from apps.tools.types import Upstream

_KEEPER = Path(__file__).with_name("stdio_keeper.py")
_MOST_LINE = 8 * 2**20
_LAST_WORDS = 20
_LONGEST_WORD = 500
_STOP_SECONDS = 5.0

Messages = ObjectSendStream[SessionMessage | Exception]


class Process:
    """A running server. `is_alive` is exact at the moment it is asked."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._words: deque[str] = deque(maxlen=_LAST_WORDS)

    @property
    def is_alive(self) -> bool:
        if self._process.returncode is not None:
            return False
        with suppress(ChildProcessError):
            options = os.WEXITED | os.WNOHANG | os.WNOWAIT
            return os.waitid(os.P_PID, self._process.pid, options) is None
        return False

    @property
    def last_words(self) -> str:
        """The last lines of its standard error, and how it ended if it has."""
        status = self._process.returncode
        ended = f"It ended with exit status {status}. " if status is not None else ""
        said = "\n".join(self._words)
        return f"{ended}It last said:\n{said}" if said else ended.strip()

    async def read(self, messages: Messages) -> None:
        """Hand on what it says, until it says nothing more or something that is no message."""
        stdout = self._process.stdout
        assert stdout is not None  # noqa: S101  spawned with pipes
        async with messages:
            with suppress(
                ValueError, OSError, anyio.BrokenResourceError, anyio.ClosedResourceError
            ):
                while line := await stdout.readline():  # ValueError: longer than any answer may be
                    await messages.send(_parsed(line))

    async def write(self, messages: ObjectReceiveStream[SessionMessage], answers: Messages) -> None:
        """Tell it what is sent; nobody waits for answers once it takes nothing more."""
        stdin = self._process.stdin
        assert stdin is not None  # noqa: S101  spawned with pipes
        async with messages, answers:
            with suppress(OSError):
                async for message in messages:
                    text = message.message.model_dump_json(by_alias=True, exclude_unset=True)
                    stdin.write(f"{text}\n".encode())
                    await stdin.drain()

    async def listen(self) -> None:
        """Keep the last lines of its standard error."""
        stderr = self._process.stderr
        assert stderr is not None  # noqa: S101  spawned with pipes
        while chunk := await stderr.read(8192):
            for line in chunk.decode(errors="replace").splitlines():
                text = "".join(c for c in line if c.isprintable())[:_LONGEST_WORD]
                self._words.extend([text] if text.strip() else [])

    async def stop(self) -> None:
        """Returns once it is gone; its keeper ends it as soon as the lifeline is closed."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        draining = asyncio.create_task(self._drain())  # asyncio waits for the end of its pipes
        if not await self._gone():
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)
            await self._gone()
        draining.cancel()

    async def _gone(self) -> bool:
        with suppress(TimeoutError):
            async with asyncio.timeout(_STOP_SECONDS):
                await self._process.wait()
        return self._process.returncode is not None

    async def _drain(self) -> None:
        stdout = self._process.stdout
        assert stdout is not None  # noqa: S101  spawned with pipes
        while await stdout.read(64 * 1024):
            pass


class _Transport:
    """What the SDK's client enters: the two streams, with their tasks running beside."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._group = anyio.create_task_group()

    async def __aenter__(self) -> Any:
        arriving, received = anyio.create_memory_object_stream[SessionMessage | Exception](0)
        sent, leaving = anyio.create_memory_object_stream[SessionMessage](0)
        await self._group.__aenter__()
        self._group.start_soon(self._process.read, arriving)
        self._group.start_soon(self._process.write, leaving, arriving)
        return received, sent

    async def __aexit__(self, *error: Any) -> bool | None:
        self._group.cancel_scope.cancel()
        return await self._group.__aexit__(*error)


@asynccontextmanager
async def connect(upstream: Upstream) -> AsyncIterator[tuple[_Transport, Process]]:
    """A server process and the transport to it. Whatever happens, it is gone afterwards."""
    command = (commands.resolve(upstream.command), *upstream.args)
    folder = tempfile.mkdtemp(prefix="octavo-tool-")
    reading, lifeline = os.pipe()
    process: Process | None = None
    listening: asyncio.Task[None] | None = None
    try:
        process = Process(await _spawn(command, upstream, folder, reading))
        listening = asyncio.create_task(process.listen(), name=f"{upstream.server}-stderr")
        yield _Transport(process), process
    finally:
        os.close(reading)
        os.close(lifeline)  # from here on the keeper ends the server, even if nobody waits
        with anyio.CancelScope(shield=True):
            if process is not None:
                await process.stop()
            if listening is not None:
                listening.cancel()
            await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)


async def _spawn(
    command: Sequence[str], upstream: Upstream, folder: str, lifeline: int
) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-I", "-S", str(_KEEPER), str(lifeline)),
        *command,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        limit=_MOST_LINE,
        env={
            "PATH": os.environ.get("PATH", os.defpath),
            "LANG": "C.UTF-8",
            "HOME": folder,
            "TMPDIR": folder,
            **dict(upstream.env),
        },
        cwd=folder,
        pass_fds=(lifeline,),
        start_new_session=True,
    )


def _parsed(line: bytes) -> SessionMessage | Exception:
    try:
        return SessionMessage(jsonrpc_message_adapter.validate_json(line, by_name=False))
    except ValueError as error:
        return error
