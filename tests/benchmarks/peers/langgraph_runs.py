"""LangGraph with its PostgreSQL checkpointer, durability `sync`: one run of no-op supersteps, then
many on twenty threads.

`python langgraph_runs.py <PostgreSQL URL> <steps> <runs> <steps a run>` prints steps a second.
"""

import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypedDict

from langgraph.checkpoint.postgres import PostgresSaver
from langgraph.graph import END, START, StateGraph
from psycopg.rows import dict_row
from psycopg_pool import ConnectionPool

url, steps, runs, steps_a_run = sys.argv[1], *map(int, sys.argv[2:5])


class State(TypedDict):
    done: int
    wanted: int
    last: str


def step(state: State) -> dict[str, Any]:
    return {"done": state["done"] + 1, "last": f"{state['done']:0200}"}


options: dict[str, Any] = {"autocommit": True, "prepare_threshold": 0, "row_factory": dict_row}
pool: Any = ConnectionPool(url, min_size=10, max_size=20, kwargs=options, open=True)
saver = PostgresSaver(pool)
saver.setup()
graph = StateGraph(State)
graph.add_node("step", step)
graph.add_edge(START, "step")
graph.add_conditional_edges("step", lambda s: "step" if s["done"] < s["wanted"] else END)
app = graph.compile(checkpointer=saver)


def work(name: str, count: int) -> None:
    config: Any = {"configurable": {"thread_id": name}, "recursion_limit": count + 5}
    start: Any = {"done": 0, "wanted": count, "last": ""}
    app.invoke(start, config, durability="sync")


work("warm", 50)
began = time.perf_counter()
work("one", steps)
sequential = steps / (time.perf_counter() - began)
began = time.perf_counter()
with ThreadPoolExecutor(20) as threads:
    list(threads.map(lambda number: work(f"many{number}", steps_a_run), range(runs)))
together = runs * steps_a_run / (time.perf_counter() - began)
print(json.dumps({"sequential": round(sequential), "together": round(together)}), flush=True)
pool.close()
