"""The examples of loops outside, each run against a live web process.

`make test-frameworks` names the Python that has their frameworks in OCTAVO_FRAMEWORKS_PYTHON.
"""

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from apps.orchestration import selectors
from apps.orchestration.types.runs import EventType, RunStatus
from octavo.kernel import ids
from tests import runs
from tests.runs import bench_on

ROOT = Path(__file__).resolve().parents[2]
PYTHON = os.environ.get("OCTAVO_FRAMEWORKS_PYTHON", "")
SCRIPT = {
    "calls": [["count_letters", {"word": "banana"}]],
    "answer": "It has 6 letters.",
}

pytestmark = pytest.mark.frameworks


@pytest.mark.parametrize("framework", ["langgraph", "openai_agents"])
def test_an_example_records_its_loop(
    framework: str, installation: Any, db: Any, processes: Any, free_port: Any, tmp_path: Path
) -> None:
    for bench in bench_on(installation.scope, db.superuser_url, tmp_path):
        bench.chat.script = SCRIPT
        runs.save(bench.scope, "counter", tools=())
        web = processes.web(port=free_port, timeout=120)
        done = subprocess.run(
            [PYTHON, "-m", f"examples.{framework}.agent", "counter", "How many letters?"],
            cwd=ROOT,
            env={
                "PATH": os.environ["PATH"],
                "OCTAVO_URL": web.url,
                "OCTAVO_KEY": installation.issued_key.secret,
            },
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-4000:]
        run_id = ids.decode(ids.Kind.RUN, done.stdout.split()[-1])
        run = selectors.get_run(scope=bench.scope, run_id=run_id)
        assert run.status is RunStatus.SUCCEEDED
        assert run.output is not None
        assert run.output["text"].strip() == "It has 6 letters."
        assert run.input_tokens == 40
        assert [event.type for event in runs.events(bench.scope, run_id)] == [
            EventType.RUN_STARTED,
            EventType.MODEL_ANSWERED,
            EventType.TOOL_ANSWERED,
            EventType.MODEL_ANSWERED,
            EventType.RUN_SUCCEEDED,
        ]
        assert len(bench.chat.requests) == 2
