"""A real vLLM server on the CPU, for the whole run, with the built-in model as its weights.

`make test-vllm` names the Python that has vLLM in OCTAVO_VLLM_PYTHON. Figures go to out/vllm.json.
"""

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
import pytest

from octavo.devserver import ports
from octavo.devserver.processes import RunningProcess, is_ready, start_process
from tests.integration.api.conftest import Api

HERE = Path(__file__).resolve().parent
MODELS = Path(os.environ.get("OCTAVO_MODELS_DIR") or Path.home() / ".cache/octavo/models")
PYTHON = os.environ.get("OCTAVO_VLLM_PYTHON", "")
GGUF = MODELS / "SmolLM2-135M-Instruct.Q4_1.gguf"
NAME = "smollm2-135m-instruct"
CONTEXT_WINDOW = 4096
LONGEST_ANSWER = 48  # tokens: a small model does not know when to stop, and a busy machine is slow
_CONVERT_SECONDS = 300.0
_START_SECONDS = 600.0  # a minute on two idle cores

ON_CPU = {
    "VLLM_CPU_KVCACHE_SPACE": "2",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "OMP_WAIT_POLICY": "passive",  # threads that spin starve each other on a busy machine
    "VLLM_NO_USAGE_STATS": "1",
    "HF_HUB_OFFLINE": "1",
}


@dataclass
class Vllm:
    """A server that answers, and what was measured on it."""

    url: str
    process: RunningProcess
    figures: dict[str, Any] = field(default_factory=dict)


@pytest.fixture(scope="session")
def weights() -> Path:
    """The built-in GGUF file as safetensors; converted once, kept beside it."""
    target = MODELS / f"{NAME}-safetensors"
    if not target.exists():
        assert GGUF.exists(), f"{GGUF} is missing: `make test-vllm` fetches it"
        done = subprocess.run(
            [PYTHON, str(HERE / "convert.py"), str(GGUF), str(target)],
            env=_environment(),
            capture_output=True,
            text=True,
            check=False,
            timeout=_CONVERT_SECONDS,
        )
        assert done.returncode == 0, done.stderr[-2000:]
    return target


@pytest.fixture(scope="session")
def vllm(weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Vllm]:
    port = ports.free_port()
    url = f"http://127.0.0.1:{port}"
    began = time.monotonic()
    process = start_process(
        name="vllm",
        command=_command(weights, port),
        environment=_environment() | ON_CPU,
        log=tmp_path_factory.mktemp("vllm") / "vllm.log",
        url=url,
    )
    try:
        process.wait_until(lambda: is_ready(f"{url}/health"), timeout=_START_SECONDS)
        server = Vllm(url=url, process=process)
        server.figures["start_seconds"] = round(time.monotonic() - began, 1)
        yield server
        _write(server.figures)
    finally:
        process.stop(grace=30)


def _command(weights: Path, port: int) -> tuple[str, ...]:
    # The `vllm` command of CPU wheels fails on its own metadata.
    return (
        *(PYTHON, "-m", "vllm.entrypoints.openai.api_server", "--model", str(weights)),
        *("--served-model-name", NAME, "--host", "127.0.0.1", "--port", str(port)),
        *("--override-generation-config", f'{{"max_new_tokens": {LONGEST_ANSWER}}}'),
        *("--dtype", "bfloat16", "--enforce-eager", "--max-model-len", str(CONTEXT_WINDOW)),
    )


def _environment() -> dict[str, str]:
    """Ours without our import path: vLLM's Python has its own packages."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}


def _write(figures: dict[str, Any]) -> None:
    out = HERE.parents[1] / "out"
    out.mkdir(exist_ok=True)
    (out / "vllm.json").write_bytes(orjson.dumps(figures, option=orjson.OPT_INDENT_2))


@pytest.fixture
def api(installation: Any) -> Api:
    return Api(installation.issued_key.secret)


@pytest.fixture
def route(api: Api, vllm: Vllm) -> Callable[[bool], str]:
    """Adds the server over REST as a person would; returns the name of its route."""

    def add(native_tools: bool) -> str:
        provider = {"name": "gpu", "kind": "vllm", "base_url": vllm.url}
        model = {"provider": "gpu", "name": NAME, "kind": "chat", "native_tools": native_tools}
        points = {"name": "local", "targets": [{"provider": "gpu", "model": NAME}]}
        for path, body in (
            ("models/providers", provider),
            ("models", model | {"context_window": CONTEXT_WINDOW}),
            ("models/routes", points),
        ):
            answer = api.post(path, body)
            assert answer.status == 201, answer.body
        return "local"

    return add
