"""What a container of docker-compose.yml runs: `python -m octavo.container web|worker|model`.

Each becomes its process. `health <name>` is the health check of that container: exit status 0 or 1.
"""

import os
import subprocess
import sys
from collections.abc import Callable, Mapping

import redis

from octavo.devserver.processes import (
    ROOT,
    is_ready,
    model_command,
    web_command,
    worker_command,
)

_ALL = "0.0.0.0"  # noqa: S104  within its container; docker-compose.yml publishes the web alone
_WEB_PORT, _MODEL_PORT = 8000, 8001
_THREADS = 64
PING_CHANNEL = "octavo:outbox"  # that of octavo.kernel.jobs, which only loads under Django
_PROBE_SECONDS = 3.0


def web() -> None:
    """Migrates, makes what a first start needs, and serves."""
    _step("migrate", "--verbosity", "0", "--skip-checks")
    # Its answer holds a login link and perhaps a key, which have no place in a log.
    _step("bootstrap", "--json", output=subprocess.DEVNULL)
    _become(web_command(host=_ALL, port=_WEB_PORT))


def worker() -> None:
    """One worker for all queues; more containers of it share the work."""
    threads = int(os.environ.get("OCTAVO_WORKER_THREADS") or _THREADS)
    _become(worker_command(name="worker", queues="runs,control,ingest", threads=threads))


def model() -> None:
    _become((*model_command(port=_MODEL_PORT), "--host", _ALL))


def _step(*arguments: str, output: int | None = None) -> None:
    done = subprocess.run(  # noqa: S603  our own command line
        [sys.executable, "manage.py", *arguments], cwd=ROOT, stdout=output, check=False
    )
    if done.returncode:
        sys.exit(f"`manage.py {arguments[0]}` failed; what it said is above.")


def _become(command: tuple[str, ...]) -> None:
    os.chdir(ROOT)
    os.execv(command[0], command)  # noqa: S606  no shell is wanted


def _web_is_healthy() -> bool:
    return is_ready(f"http://127.0.0.1:{_WEB_PORT}/readyz", timeout=_PROBE_SECONDS)


def _model_is_healthy() -> bool:
    return is_ready(f"http://127.0.0.1:{_MODEL_PORT}/health", timeout=_PROBE_SECONDS)


def _worker_is_healthy() -> bool:
    """Whether a worker listens for wake-ups."""
    seconds = _PROBE_SECONDS
    try:
        with redis.Redis.from_url(os.environ["REDIS_URL"], socket_timeout=seconds) as client:
            return any(count for _, count in client.pubsub_numsub(PING_CHANNEL))
    except redis.RedisError:
        return False


RUN: Mapping[str, Callable[[], None]] = {"web": web, "worker": worker, "model": model}
HEALTH: Mapping[str, Callable[[], bool]] = {
    "web": _web_is_healthy,
    "worker": _worker_is_healthy,
    "model": _model_is_healthy,
}


def main(arguments: list[str]) -> int:
    match arguments:
        case [name] if name in RUN:
            RUN[name]()
        case ["health", name] if name in HEALTH:
            return 0 if HEALTH[name]() else 1
    print(f"Say one of: {', '.join(RUN)}, or health and one of them.", file=sys.stderr)  # noqa: T201
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
