"""Progress of one request: only for clients that asked, and a number that grows with every word."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from apps.api.mcp.callers import Context
from apps.tools.types import ProgressSink

_Report = tuple[float, float | None, str]


class Progress:
    """What has been said so far to the client that waits."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._done = 0.0
        self.is_wanted = "progress_token" in (context.meta or {})

    async def say(self, message: str) -> None:
        """One step on the way, of a number that nobody knows."""
        if self.is_wanted:
            await self._report(self._done + 1, None, message)

    @asynccontextmanager
    async def of_tool(self) -> AsyncIterator[ProgressSink | None]:
        """What a tool may report to from any thread; None when nobody listens. Its numbers follow
        what was said before.
        """
        if not self.is_wanted:
            yield None
            return
        loop, reports = asyncio.get_running_loop(), asyncio.Queue[_Report | None]()
        before = self._done

        def report(done: float, total: float | None, message: str) -> None:
            ahead = None if total is None else before + total
            loop.call_soon_threadsafe(reports.put_nowait, (before + done, ahead, message))

        sender = asyncio.create_task(self._send(reports))
        try:
            yield report
            reports.put_nowait(None)
            await sender
        finally:
            sender.cancel()

    async def _send(self, reports: "asyncio.Queue[_Report | None]") -> None:
        while (report := await reports.get()) is not None:
            if report[0] > self._done:
                await self._report(*report)

    async def _report(self, done: float, total: float | None, message: str) -> None:
        self._done = done
        await self._context.session.report_progress(done, total, message or None)
