"""Octavo's own processes: how each is started, found ready and stopped. The supervisor and the
tests share this."""

import ctypes
import http.client
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

# Not from octavo.settings: that reads the environment once, and this module prepares environments.
ROOT = Path(__file__).resolve().parents[3]
_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None) if sys.platform == "linux" else None
_POLL_SECONDS = 0.05
# Celery warns root because of pickled messages; Octavo's workers accept JSON only.
_QUIET_ROOT = ("-W", "ignore:You're running the worker") if os.geteuid() == 0 else ()


def web_command(*, host: str, port: int) -> tuple[str, ...]:
    return (
        *(sys.executable, "-m", "uvicorn", "octavo.asgi:application"),
        *("--host", host, "--port", str(port), "--ws", "none"),
        *("--timeout-graceful-shutdown", "5", "--log-level", "warning"),
    )


def worker_command(*, name: str, queues: str, threads: int) -> tuple[str, ...]:
    return (
        *(sys.executable, *_QUIET_ROOT, "-m", "celery", "--quiet", "-A", "workers", "worker"),
        *("-P", "threads", "-c", str(threads), "-Q", queues, "-n", f"{name}@%h"),
        *("--without-gossip", "--without-mingle", "--without-heartbeat", "--loglevel", "WARNING"),
    )


def model_command(*, port: int) -> tuple[str, ...]:
    return (sys.executable, "-m", "apps.inference.builtin", "--port", str(port))


def child_environment(settings: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment of a child: ours, `settings` over it, and both source roots importable."""
    roots = [str(ROOT / "platform"), str(ROOT)]
    known = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    path = os.pathsep.join([*roots, *(part for part in known if part and part not in roots)])
    return {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "octavo.settings",
        "PYTHONUNBUFFERED": "1",
        **(settings or {}),
        "PYTHONPATH": path,
    }


def spawn_options() -> Mapping[str, Any]:
    """Keyword arguments for `Popen`: a group of its own (a terminal's Ctrl-C reaches only the
    supervisor), no input,
    and on Linux a child that dies with the thread that started it."""
    options: dict[str, Any] = {
        "cwd": ROOT,
        "stdin": subprocess.DEVNULL,
        "start_new_session": True,
    }
    if _libc is not None:
        options["preexec_fn"] = _dies_with(os.getpid())
    return options


def _dies_with(parent: int) -> Callable[[], None]:
    def ask_the_kernel() -> None:
        assert _libc is not None  # noqa: S101  checked by the caller; runs between fork and exec
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it died before the call
            os._exit(1)

    return ask_the_kernel


def signal_group(pid: int, number: signal.Signals) -> None:
    """Signal the process and all it started; one that is gone is no error."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)


def is_ready(url: str, *, timeout: float = 2.0) -> bool:
    """Whether a GET of `url` answers 200 now. No proxy is asked, whatever the environment says."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(
        parts.hostname or "127.0.0.1", parts.port, timeout=timeout
    )
    try:
        connection.request("GET", parts.path or "/")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningProcess:
    """A started process whose output goes to `log`."""

    name: str
    popen: "subprocess.Popen[bytes]"
    log: Path
    url: str = ""

    @property
    def pid(self) -> int:
        return self.popen.pid

    @property
    def is_alive(self) -> bool:
        return self.popen.poll() is None

    def wait_until(self, ready: Callable[[], bool], *, timeout: float) -> None:
        """Poll `ready`; raises `RuntimeError` with the end of the log when the process ends or time
        runs out."""
        deadline = time.monotonic() + timeout
        while not ready():
            if not self.is_alive:
                raise RuntimeError(
                    f"{self.name} ended with {self.popen.returncode}.\n{self.tail()}"
                )
            if time.monotonic() > deadline:
                raise RuntimeError(
                    f"{self.name} was not ready within {timeout:g} s.\n{self.tail()}"
                )
            time.sleep(_POLL_SECONDS)

    def logged(self, text: str) -> bool:
        return text in self.log.read_text(errors="replace")

    def tail(self, lines: int = 40) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def kill(self) -> None:
        """SIGKILL to the whole group; returns when the process is gone."""
        signal_group(self.pid, signal.SIGKILL)
        self.popen.wait(timeout=10)

    def stop(self, *, grace: float = 10.0) -> int:
        """SIGTERM, then SIGKILL after `grace` seconds; returns the exit status."""
        signal_group(self.pid, signal.SIGTERM)
        try:
            self.popen.wait(timeout=grace)
        except subprocess.TimeoutExpired:
            self.kill()
        return self.popen.returncode


def start_process(
    *, name: str, command: tuple[str, ...], environment: Mapping[str, str], log: Path, url: str = ""
) -> RunningProcess:
    """Start `command` from the main thread; the caller stops it."""
    with log.open("ab") as output:
        popen = subprocess.Popen(  # noqa: S603  our own command lines
            command, env=dict(environment), stdout=output, stderr=output, **spawn_options()
        )
    return RunningProcess(name=name, popen=popen, log=log, url=url)
