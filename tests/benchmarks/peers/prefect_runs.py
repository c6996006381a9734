"""Prefect on a local server of its own over PostgreSQL, results persisted: one flow of no-op tasks,
then twenty at once.

`python prefect_runs.py <PostgreSQL URL> <steps> <runs> <steps a run>` prints steps a second.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor

url, steps, runs, steps_a_run = sys.argv[1], *map(int, sys.argv[2:5])
port = int(os.environ["PREFECT_BENCH_PORT"])
os.environ |= {
    "PREFECT_HOME": tempfile.mkdtemp(),
    "PREFECT_API_DATABASE_CONNECTION_URL": url.replace("postgresql://", "postgresql+asyncpg://"),
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_LOGGING_LEVEL": "ERROR",
    "PREFECT_LOGGING_TO_API_ENABLED": "false",
    "DO_NOT_TRACK": "1",
    "PREFECT_API_URL": f"http://127.0.0.1:{port}/api",
}
command = [sys.executable, "-m", "prefect", "server", "start", "--no-ui", "--host", "127.0.0.1"]
server = subprocess.Popen(
    [*command, "--port", str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
)
try:
    for _ in range(120):
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/api/health", timeout=2)
            break
        except OSError:
            time.sleep(1)
    from prefect import flow, task

    @task(persist_result=True)
    def step(number: int) -> str:
        return f"{number:0200}"

    @flow(persist_result=True)
    def work(count: int) -> int:
        for number in range(count):
            step(number)
        return count

    work(3)
    began = time.perf_counter()
    work(steps)
    sequential = steps / (time.perf_counter() - began)
    began = time.perf_counter()
    with ThreadPoolExecutor(20) as threads:
        list(threads.map(lambda _: work(steps_a_run), range(runs)))
    together = runs * steps_a_run / (time.perf_counter() - began)
    print(json.dumps({"sequential": round(sequential), "together": round(together)}), flush=True)
finally:
    server.terminate()
    server.wait(20)
    os._exit(0)
