"""DBOS: one workflow of no-op steps, then many through a durable queue.

`python dbos_runs.py <PostgreSQL URL> <steps> <runs> <steps a run>` prints steps a second as JSON.
"""

import json
import os
import sys
import time

from dbos import DBOS

url, steps, runs, steps_a_run = sys.argv[1], *map(int, sys.argv[2:5])
DBOS(
    config={
        "name": "bench",
        "system_database_url": url,
        "log_level": "ERROR",
        "run_admin_server": False,
    }
)


@DBOS.step()
def step(number: int) -> str:
    return f"{number:0200}"


@DBOS.workflow()
def work(count: int) -> int:
    for number in range(count):
        step(number)
    return count


DBOS.launch()
DBOS.register_queue("bench")
work(50)
began = time.perf_counter()
work(steps)
sequential = steps / (time.perf_counter() - began)
began = time.perf_counter()
for handle in [DBOS.enqueue_workflow("bench", work, steps_a_run) for _ in range(runs)]:
    handle.get_result()
together = runs * steps_a_run / (time.perf_counter() - began)
print(json.dumps({"sequential": round(sequential), "together": round(together)}), flush=True)
os._exit(0)
