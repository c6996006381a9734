"""Run as a program: starts one tool server within limits, and ends everything that it started.

    python -I -S stdio_keeper.py <lifeline> <command> [argument…]

`lifeline` is the number of a pipe's reading end. When its other end closes, which happens however
Octavo's process ends, or when the server ends, every process below this one is killed, those that
left its group as well. Standard input and output are the server's own.
"""

import ctypes
import os
import resource
import select
import signal
import sys
import time
from contextlib import suppress

_GRACE = 1.0  # seconds to leave by itself, and again after SIGTERM
_NOT_STARTED = 127
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_GIB = 2**30
LIMITS = (
    (resource.RLIMIT_AS, 64 * _GIB),  # runtimes reserve far more than they use
    (resource.RLIMIT_DATA, 4 * _GIB),
    (resource.RLIMIT_FSIZE, _GIB),
    (resource.RLIMIT_CPU, 3600),
    (resource.RLIMIT_NOFILE, 1024),
    (resource.RLIMIT_NPROC, 4096),
    (resource.RLIMIT_CORE, 0),
)


def _prctl(option: int, value: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def _become(command: list[str], keeper: int) -> None:
    """In the child: limits, then the server in this process's place."""
    try:
        _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != keeper:
            os._exit(_NOT_STARTED)
        for limit, value in LIMITS:
            hard = resource.getrlimit(limit)[1]
            most = value if hard == resource.RLIM_INFINITY else min(value, hard)
            resource.setrlimit(limit, (most, most))
        os.execv(command[0], command)  # noqa: S606  no shell, and the command is on the allow-list
    except OSError as error:
        os.write(2, f"{command[0]} cannot be started: {error.strerror}\n".encode())
    os._exit(_NOT_STARTED)


class Keeper:
    """One server, its status once it has ended, and whoever came from it."""

    def __init__(self, lifeline: int, command: list[str]) -> None:
        self._lifeline = lifeline
        self._woken, waker = os.pipe()
        os.set_blocking(waker, False)
        os.set_blocking(self._woken, False)
        signal.set_wakeup_fd(waker)
        for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, lambda *_: None)  # a handler, because exec resets handlers
        self._status: int | None = None
        keeper = os.getpid()
        self._server = os.fork()
        if self._server == 0:
            _become(command, keeper)
        nothing = os.open(os.devnull, os.O_RDWR)
        os.dup2(nothing, 0)  # the server's end must be the end of its pipes
        os.dup2(nothing, 1)

    def keep(self) -> int:
        """The server's exit status (128 + signal), with nothing of it left."""
        if not self._wait(None):
            if not self._wait(_GRACE):
                os.killpg(0, signal.SIGTERM)
                self._wait(_GRACE)
            self._status = 0 if self._status is None else self._status
        self._kill_all()
        return self._status or 0

    def _wait(self, seconds: float | None) -> bool:
        """Whether the server has ended, within `seconds` or else while the lifeline holds."""
        until = None if seconds is None else time.monotonic() + seconds
        poll = select.poll()
        poll.register(self._woken, select.POLLIN)
        if until is None:
            poll.register(self._lifeline, select.POLLIN | select.POLLHUP)
        while not self._reap():
            left = None if until is None else until - time.monotonic()
            if left is not None and left <= 0:
                return False
            ready = poll.poll(None if left is None else left * 1000)
            with suppress(BlockingIOError):
                os.read(self._woken, 4096)
            if any(number == self._lifeline for number, _ in ready):
                return self._reap()
        return True

    def _reap(self) -> bool:
        with suppress(ChildProcessError):
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if not pid:
                    break
                if pid == self._server:
                    code = os.waitstatus_to_exitcode(status)
                    self._status = code if code >= 0 else 128 - code
        return self._status is not None

    def _kill_all(self) -> None:
        """Orphans become children of this process, so it goes on until there are none."""
        while True:
            for pid in _children():
                with suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGKILL)
            try:
                os.waitpid(-1, 0)
            except ChildProcessError:
                return


def _children() -> list[int]:
    own = f"/proc/self/task/{os.getpid()}/children"
    with suppress(OSError), open(own, encoding="ascii") as file:
        return [int(pid) for pid in file.read().split()]
    os.killpg(0, signal.SIGKILL)  # without /proc: the group, which this process leads
    return []


if __name__ == "__main__":
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    number = int(sys.argv[1])
    os.set_inheritable(number, False)
    sys.exit(Keeper(number, sys.argv[2:]).keep())
