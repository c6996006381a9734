"""A tool server in plain JSON-RPC that starts at once, for tests of processes.

    python stdio_server.py <folder> [deaf|garbage|endless]

It speaks MCP 2025-11-25 over stdio and leaves its pid in `<folder>/pids`.
https://modelcontextprotocol.io/specification/2025-11-25/basic/transports#stdio
"""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

NAMES = ("about", "die", "spawn", "hang", "echo")


def answer(message: dict[str, Any]) -> dict[str, Any] | None:
    match message["method"]:
        case "initialize":
            return {
                "protocolVersion": "2025-11-25",
                "capabilities": {"tools": {}},
                "serverInfo": {"name": "plain", "version": "0"},
            }
        case "tools/list":
            schema = {"type": "object"}
            given = Path(sys.argv[1], "tools.json")
            if given.exists():  # exactly as they are written there, however wrong
                return {"tools": json.loads(given.read_text())}
            return {"tools": [{"name": name, "inputSchema": schema} for name in NAMES]}
        case "tools/call":
            text = call(message["params"]["name"], message["params"].get("arguments", {}))
            return {"content": [{"type": "text", "text": text}]}
    return None


def call(name: str, arguments: dict[str, Any]) -> str:
    if name == "die":
        print("I am dying", file=sys.stderr, flush=True)  # noqa: T201
        os._exit(3)
    if name == "hang":
        time.sleep(600)
    if name == "spawn":
        return str(spawn())
    if name == "about":
        return json.dumps(
            {"pid": os.getpid(), "cwd": os.getcwd(), "env": dict(os.environ), "limits": limits()}
        )
    return str(arguments.get("text", ""))


def spawn() -> int:
    """A process that has left the group and does not mind being told to end."""
    code = "import signal,time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"
    null = subprocess.DEVNULL
    child = subprocess.Popen(
        [sys.executable, "-S", "-c", code],
        start_new_session=True,
        stdin=null,
        stdout=null,
        stderr=null,
    )
    return child.pid


def limits() -> dict[str, int]:
    import resource

    names = ("RLIMIT_DATA", "RLIMIT_NOFILE", "RLIMIT_CPU", "RLIMIT_CORE")
    return {name: resource.getrlimit(getattr(resource, name))[0] for name in names}


def main() -> None:
    folder, mood = Path(sys.argv[1]), (sys.argv[2:] or [""])[0]
    with (folder / "pids").open("a") as file:
        file.write(f"{os.getpid()}\n")
    if mood == "garbage":
        print("Welcome to my server!\n{}\n[1,2", flush=True)  # noqa: T201
    if mood == "endless":
        while True:
            sys.stdout.write("x" * 65536)
    if mood == "deaf":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    for line in sys.stdin:
        message = json.loads(line)
        if "id" not in message:
            continue
        result = answer(message)
        error = {"code": -32601, "message": "Method not found"}
        reply = {"result": result} if result is not None else {"error": error}
        print(json.dumps({"jsonrpc": "2.0", "id": message["id"], **reply}), flush=True)  # noqa: T201
    if mood == "deaf":
        time.sleep(600)


if __name__ == "__main__":
    main()
