"""Clients that hang up, or that do not read."""

import asyncio
import json
import socket
import threading
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import openai
from aiohttp import web

from tests.conformance.openai.behaviours import behaviour
from tests.conformance.openai.conftest import Edge
from tests.integration.inference import upstream as fake
from tests.runs import eventually

HI: list[Any] = [{"role": "user", "content": "Hello?"}]
PIECE = fake.chunk({"content": "x" * 2**15})
MOST_PIECES = 1500  # 48 MiB


@behaviour("disconnect")
def test_a_client_that_leaves_stops_the_provider_and_pays_for_what_came(
    edge: Edge, sdk: openai.OpenAI
) -> None:
    edge.upstream.script.append(fake.stream(*[fake.chunk({"content": "word "})] * 6, hang=True))
    stream = sdk.chat.completions.create(model="main", messages=HI, stream=True)
    for _ in range(6):
        next(stream)
    stream.close()
    assert edge.upstream.gone.wait(20), "the provider still works for nobody"
    eventually(edge.usage, what="the call was not booked")
    ((status, sent, received),) = edge.usage()
    assert (status, received) == ("cancelled", 10)  # thirty bytes at three bytes a token
    assert sent > 0

    edge.upstream.gone.clear()
    edge.upstream.arrived.clear()
    edge.upstream.script.append(fake.hang)
    address = urlsplit(edge.url)
    with socket.create_connection((address.hostname, address.port)) as client:
        client.sendall(request(edge, stream=False))
        assert edge.upstream.arrived.wait(20)
    assert edge.upstream.gone.wait(20), "the provider still works for nobody"
    eventually(lambda: len(edge.usage()) == 2, what="the call was not booked")
    assert edge.usage()[1] == ("cancelled", 0, 0)


@behaviour("backpressure")
def test_a_client_that_does_not_read_holds_the_provider_back(edge: Edge) -> None:
    held, written = threading.Event(), []

    async def pour(request: web.Request, _: dict[str, Any]) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for number in range(MOST_PIECES):
            writing = asyncio.ensure_future(response.write(PIECE))
            done, _ = await asyncio.wait({writing}, timeout=5)
            if not done:
                held.set()
            await writing
            written.append(number)
        held.set()
        return response

    edge.upstream.script.append(pour)
    before = memory(edge.process.pid)
    address = urlsplit(edge.url)
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2**16)
        client.connect((address.hostname, address.port))
        client.sendall(request(edge, stream=True))
        assert held.wait(120)
        assert len(written) < MOST_PIECES, "all of it went somewhere"
        assert memory(edge.process.pid) - before < 24 * 2**20
    assert edge.upstream.gone.wait(20), "the provider still works for nobody"


def request(edge: Edge, *, stream: bool) -> bytes:
    body = json.dumps({"model": "main", "messages": HI, "stream": stream}).encode()
    head = (
        "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\n"
        f"Authorization: Bearer {edge.key}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def memory(pid: int) -> int:
    """Resident bytes."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS"))
