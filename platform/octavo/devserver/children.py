"""A child process that is kept running: one that ends without being asked to starts again, later
each time."""

import asyncio
import signal
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

from octavo.devserver.errors import StartError
from octavo.devserver.loglines import LogLines
from octavo.devserver.processes import signal_group, spawn_options

_FIRST_DELAY = 0.5
_LONGEST_DELAY = 30.0
_HEALTHY_SECONDS = 60.0
_LAST_WORDS = 1.0  # a grandchild may hold the pipe open


def next_delay(delay: float, *, ran_for: float) -> float:
    """Seconds to wait before the next start: doubled each time, from the beginning after a healthy
    minute."""
    if ran_for >= _HEALTHY_SECONDS or not delay:
        return _FIRST_DELAY
    return min(delay * 2, _LONGEST_DELAY)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildPlan:
    """`grace`: seconds between SIGTERM and SIGKILL when it is stopped."""

    name: str
    command: tuple[str, ...]
    grace: float


class Child:
    """Runs a plan until `stop`. All from the main thread: on Linux a child dies with the thread
    that started it."""

    def __init__(self, plan: ChildPlan, environment: Mapping[str, str], log: LogLines) -> None:
        self.plan = plan
        self._environment = dict(environment)
        self._log = log
        self._process: asyncio.subprocess.Process | None = None
        self._keeping: asyncio.Task[None] | None = None
        self._wanted = True

    @property
    def pid(self) -> int:
        """0 while it waits to be started again."""
        process = self._process
        return process.pid if process is not None and process.returncode is None else 0

    def start(self) -> None:
        self._keeping = asyncio.create_task(self._keep(), name=self.plan.name)

    async def stop(self) -> None:
        """SIGTERM, SIGKILL after the plan's grace; returns when the process is gone."""
        self._wanted = False
        if self._keeping is None:
            return
        if self.pid:
            signal_group(self.pid, signal.SIGTERM)
        else:
            self._keeping.cancel()
        _, late = await asyncio.wait({self._keeping}, timeout=self.plan.grace)
        if late:
            self._log.say(
                "octavo", f"{self.plan.name} did not stop in {self.plan.grace:g} s: killed"
            )
            self.kill()
            await asyncio.wait({self._keeping})

    def kill(self) -> None:
        self._wanted = False
        if self.pid:
            signal_group(self.pid, signal.SIGKILL)

    async def _keep(self) -> None:
        delay = 0.0
        while self._wanted:
            began = time.monotonic()
            status = await self._run_once()
            if not self._wanted:
                return
            delay = next_delay(delay, ran_for=time.monotonic() - began)
            self._log.say(
                "octavo", f"{self.plan.name} ended ({explain(status)}); again in {delay:g} s"
            )
            await asyncio.sleep(delay)

    async def _run_once(self) -> int:
        self._process = await _spawn(self.plan.command, self._environment)
        status, _ = await _follow(self._process, self.plan.name, self._log)
        signal_group(self._process.pid, signal.SIGKILL)  # what it left behind would hold its port
        return status


async def run_step(
    name: str, command: tuple[str, ...], environment: Mapping[str, str], log: LogLines
) -> list[str]:
    """Run a command to its end, saying its lines under `name`; returns the last ones. Raises
    `StartError`."""
    process = await _spawn(command, environment)
    try:
        status, kept = await _follow(process, name, log)
    finally:
        if process.returncode is None:
            signal_group(process.pid, signal.SIGTERM)
            await process.wait()
    if status:
        raise StartError(
            f"`{' '.join(command[1:])}` ended with {explain(status)}; what it said is above."
        )
    return kept


async def read_step(command: tuple[str, ...], environment: Mapping[str, str]) -> bytes:
    """Run a command to its end and return what it printed; its standard error goes to ours. Raises
    `StartError`."""
    process = await asyncio.create_subprocess_exec(
        *command, env=dict(environment), stdout=asyncio.subprocess.PIPE, **spawn_options()
    )
    try:
        said, _ = await process.communicate()
    finally:
        if process.returncode is None:
            signal_group(process.pid, signal.SIGTERM)
            await process.wait()
    if process.returncode:
        raise StartError(
            f"`{' '.join(command[1:])}` ended with {explain(process.returncode)}; what it said is "
            "above."
        )
    return said


def explain(status: int) -> str:
    """An exit status in words."""
    if status >= 0:
        return f"exit status {status}"
    with suppress(ValueError):
        return signal.Signals(-status).name
    return f"signal {-status}"


async def _spawn(
    command: tuple[str, ...], environment: Mapping[str, str]
) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *command,
        env=dict(environment),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        **spawn_options(),
    )


async def _follow(
    process: asyncio.subprocess.Process, name: str, log: LogLines
) -> tuple[int, list[str]]:
    """Exit status and last lines, once the process has ended."""
    assert process.stdout is not None  # noqa: S101  asked for in _spawn
    kept: list[str] = []
    following = asyncio.create_task(log.follow(name, process.stdout, kept))
    try:
        status = await process.wait()
        await asyncio.wait({following}, timeout=_LAST_WORDS)
    finally:
        following.cancel()
    return status, kept
