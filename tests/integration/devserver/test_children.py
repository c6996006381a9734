"""Children come back, stop when asked, and die with whoever started them."""

import asyncio
import io
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from octavo.devserver.children import Child, ChildPlan, read_step, run_step
from octavo.devserver.errors import StartError
from octavo.devserver.loglines import LogLines
from octavo.devserver.processes import child_environment, start_process

SLEEPER = "import time; print('awake', flush=True); time.sleep(60)"
STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN);" + SLEEPER


def plan(code: str, *, grace: float = 5.0) -> ChildPlan:
    return ChildPlan(name="web", command=(sys.executable, "-c", code), grace=grace)


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110  a process in the outside world sets no event
            await asyncio.sleep(0.01)


def test_a_killed_child_comes_back_and_its_lines_are_named() -> None:
    stream = io.StringIO()

    async def scenario() -> None:
        child = Child(plan(SLEEPER), os.environ, LogLines(stream))
        child.start()
        await until(lambda: "web    | awake" in stream.getvalue())
        first = child.pid
        os.kill(first, signal.SIGKILL)
        await until(lambda: child.pid not in {0, first})
        await child.stop()
        assert child.pid == 0

    asyncio.run(scenario())
    assert "octavo | web ended (SIGKILL); again in 0.5 s" in stream.getvalue()


def test_a_child_that_ignores_sigterm_is_killed_after_its_grace() -> None:
    stream = io.StringIO()

    async def scenario() -> None:
        child = Child(plan(STUBBORN, grace=0.2), os.environ, LogLines(stream))
        child.start()
        await until(lambda: "awake" in stream.getvalue())
        await child.stop()
        assert child.pid == 0

    asyncio.run(scenario())
    assert "web did not stop in 0.2 s: killed" in stream.getvalue()


def test_a_child_that_waits_to_start_again_can_be_stopped() -> None:
    stream = io.StringIO()

    async def scenario() -> None:
        child = Child(plan("raise SystemExit(3)"), os.environ, LogLines(stream))
        child.start()
        await until(lambda: "again in 1 s" in stream.getvalue())
        await child.stop()

    asyncio.run(scenario())
    assert "web ended (exit status 3); again in 0.5 s" in stream.getvalue()


def test_a_step_that_fails_says_which_command_it_was() -> None:
    async def scenario() -> None:
        await run_step("octavo", plan("raise SystemExit(2)").command, os.environ, LogLines())

    with pytest.raises(StartError, match=r"ended with exit status 2"):
        asyncio.run(scenario())


def test_what_a_step_prints_is_returned_whole() -> None:
    command = plan("print('x' * 200_000)").command
    assert len(asyncio.run(read_step(command, os.environ))) == 200_001


def test_a_long_line_without_an_end_does_not_stop_the_log() -> None:
    stream = io.StringIO()
    command = plan("print('x' * 300_000); print('after')").command
    asyncio.run(run_step("web", command, os.environ, LogLines(stream)))
    assert "web    | after" in stream.getvalue()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends children with their parent")
def test_a_child_dies_with_a_killed_parent(tmp_path: Path) -> None:
    code = (
        "import subprocess, sys, time\n"
        "from octavo.devserver.processes import spawn_options\n"
        f"child = subprocess.Popen([sys.executable, '-c', {SLEEPER!r}], **spawn_options())\n"
        "print(child.pid, flush=True); time.sleep(60)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, env=child_environment(), text=True
    ) as parent:
        assert parent.stdout is not None
        child = psutil.Process(int(parent.stdout.readline()))
        parent.kill()
    assert not psutil.wait_procs([child], timeout=5)[1]


def test_a_process_that_ends_early_is_told_with_its_last_lines(tmp_path: Path) -> None:
    process = start_process(
        name="web",
        command=(sys.executable, "-c", "print('no database'); raise SystemExit(1)"),
        environment=child_environment(),
        log=tmp_path / "web.log",
    )
    with pytest.raises(RuntimeError, match=r"(?s)web ended with 1.*no database"):
        process.wait_until(lambda: False, timeout=20)


def test_stopping_takes_the_whole_group_along(tmp_path: Path) -> None:
    code = (
        "import subprocess, sys; c = subprocess.Popen([sys.executable, '-c', 'import time; "
        "time.sleep(60)']); print('pid', c.pid, flush=True); c.wait()"
    )
    process = start_process(
        name="web",
        command=(sys.executable, "-c", code),
        environment=child_environment(),
        log=tmp_path / "web.log",
    )
    process.wait_until(lambda: process.logged("pid"), timeout=20)
    grandchild = psutil.Process(int(process.tail().split()[1]))
    began = time.monotonic()
    assert process.stop() == -signal.SIGTERM
    assert not psutil.wait_procs([grandchild], timeout=5)[1]
    assert time.monotonic() - began < 5
