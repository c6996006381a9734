"""Every command of the README and of `docs/` does what it says: run as it stands, on a live Octavo.

Only what a reader must replace is replaced: the address, the key, and servers that are examples.
"""

import asyncio
import json
import os
import re
import subprocess
import sys
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from octavo.devserver.processes import child_environment
from tests.integration.context.pdfs import pdf_with_text
from tests.integration.handbook.blocks import ROOT, Block, Kind, of_kind
from tests.integration.tools.conftest import PLAIN, HttpUpstream, _modern, modern

__all__ = ["_modern", "modern"]

MODELS = Path(os.environ.get("OCTAVO_MODELS_DIR") or Path.home() / ".cache/octavo/models")
KEY = "oct_" + "d" * 43
ADDRESS = "http://127.0.0.1:8000"
NAMED_TWICE = {"docs/agents.md": {"librarian": "second-librarian"}}
_REQUEST = re.compile(r"^([A-Z]+) (/\S+)\s*(\{.*?\})?\s*(?=^[A-Z]+ /|\Z)", re.DOTALL | re.MULTILINE)

pytestmark = pytest.mark.skipif(
    not (MODELS / "minilm" / "tokenizer.json").is_file(),
    reason=f"the built-in models are not in {MODELS}; set OCTAVO_MODELS_DIR",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reader:
    """Somebody with a terminal in the checkout, a key, and files of their own."""

    url: str
    folder: Path
    environment: dict[str, str]
    examples: dict[str, str]

    def text(self, block: Block) -> str:
        replaced = {**self.examples, **NAMED_TWICE.get(block.page, {}), ADDRESS: self.url}
        text = block.text.replace("oct_…", KEY)
        for written, meant in replaced.items():
            text = text.replace(written, meant)
        return text

    def run(self, *command: str) -> str:
        """What it printed; fails with all of it when the exit status is not 0."""
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=400,
            check=False,
        )
        assert done.returncode == 0, f"{command[-1]}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def send(self, method: str, path: str, body: Any) -> Any:
        request = urllib.request.Request(
            self.url + path,
            method=method,
            data=json.dumps(body).encode() if body is not None else None,
            headers={"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.loads(answer.read() or "null")


@pytest.fixture
def reader(db: Any, processes: Any, modern: HttpUpstream, free_port: int, tmp_path: Path) -> Reader:
    """After `make up`: a model, everything that the first start makes, a worker and a web."""
    url = f"http://127.0.0.1:{free_port}"
    settings = {
        "OCTAVO_MODEL_SERVER_URL": processes.model(timeout=180).url,
        "OCTAVO_BOOTSTRAP_API_KEY": KEY,
        "OCTAVO_PUBLIC_URL": url,
        "OCTAVO_EGRESS_ALLOW": "127.0.0.1",
        "OCTAVO_STDIO_COMMANDS": sys.executable,
    }
    folder = _checkout(tmp_path / "octavo")
    reader = Reader(
        url=url,
        folder=folder,
        environment=child_environment(
            {**settings, "HOME": str(_home(tmp_path / "home")), "OCTAVO_KEY": KEY}
            | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
        ),
        examples={
            "curl -s ": "curl -s --fail-with-body ",
            "https://tickets.example/mcp": modern.url,
            "tickets__search": "tickets__echo",
            '"npx"': json.dumps(sys.executable),
            '["-y", "@modelcontextprotocol/server-filesystem", "/srv/shared"]': json.dumps(
                [str(PLAIN), str(tmp_path)]
            ),
        },
    )
    reader.run(sys.executable, "manage.py", "bootstrap", "--json")
    processes.worker(threads=4, timeout=120, **settings)
    processes.web(port=free_port, timeout=120, **settings)
    return reader


def _checkout(folder: Path) -> Path:
    """The checkout as commands see it, where files of the reader's own may lie beside it."""
    (folder / ".venv" / "bin").mkdir(parents=True)
    (folder / ".venv" / "bin" / "activate").touch()
    for name in ("manage.py", "README.md"):
        (folder / name).symlink_to(ROOT / name)
    (folder / "notes.md").write_text("# Notes\n\nThe kitchen opens at seven.\n")
    for name in ("report.pdf", "contract.pdf"):
        (folder / name).write_bytes(pdf_with_text(["The lease ends in May."]))
    return folder


def _home(folder: Path) -> Path:
    for name in ("documents/handbook", "projects/docs"):
        (folder / name).mkdir(parents=True)
        (folder / name / "on-call.md").write_text("# On call\n\nAda is on call this week.\n")
    return folder


def test_every_command_works_as_it_is_written(reader: Reader) -> None:
    kinds = (Kind.FILE, Kind.SHELL, Kind.PYTHON, Kind.REQUEST, Kind.CLIENT, Kind.FILTER)
    failed = []
    said = []
    for block in of_kind(*kinds):
        try:
            said.append(_PROOFS[block.kind](reader, reader.text(block)))
        except Exception as error:  # noqa: BLE001  all of them are told at once
            failed.append(f"{block.page}: {block.text}{error}")
    assert failed == [], "\n\n".join(failed)
    assert any("Ada is on call this week." in answer for answer in said)


def _shell(reader: Reader, text: str) -> str:
    printed = reader.run("bash", "-euc", text)
    assert '"status":"failed"' not in printed.replace(" ", ""), printed
    return printed


def _file(reader: Reader, text: str) -> str:
    name = text.partition("name: ")[2].split()[0]
    (reader.folder / f"{name}.yaml").write_text(text)
    return name


def _python(reader: Reader, text: str) -> str:
    return reader.run(sys.executable, "-c", text)


def _request(reader: Reader, text: str) -> str:
    found = _REQUEST.findall(text)
    assert found, f"no request in {text!r}"
    answers = [
        reader.send(method, path, json.loads(body.replace("…", "secret")) if body else None)
        for method, path, body in found
    ]
    return json.dumps(answers)


def _filter(reader: Reader, text: str) -> str:
    body = {"query": "refunds", "spaces": ["notes"], "filter": json.loads(text)}
    return json.dumps(reader.send("POST", "/api/v1/context/search", body))


def _client(reader: Reader, text: str) -> str:
    """Such a client sends exactly this header to exactly this address: so does the SDK's."""
    address = re.search(r"http://\S+?/mcp", text)
    assert address is not None
    assert f"Authorization: Bearer {KEY}" in text.replace("$OCTAVO_KEY", KEY).replace('": "', ": ")
    if text.startswith("{"):
        json.loads(text)
    return ", ".join(asyncio.run(_tools(address[0])))


async def _tools(url: str) -> list[str]:
    from mcp.client.client import Client
    from mcp.client.streamable_http import streamable_http_client
    from mcp.shared._httpx_utils import create_mcp_http_client

    async with (
        create_mcp_http_client(headers={"Authorization": f"Bearer {KEY}"}) as web,
        Client(streamable_http_client(url, http_client=web)) as client,
    ):
        names = [tool.name for tool in (await client.list_tools()).tools]
    assert "agent__guide" in names or "call_tool" in names, names
    return names


_PROOFS = {
    Kind.FILE: _file,
    Kind.SHELL: _shell,
    Kind.PYTHON: _python,
    Kind.REQUEST: _request,
    Kind.CLIENT: _client,
    Kind.FILTER: _filter,
}
