"""A tool server that Octavo starts: allowed, confined, restarted, and never left behind."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from django.test import override_settings

from apps.tools.types import ToolUnavailable
from tests.integration.tools.conftest import ROOT, is_running


def pids(folder: Path) -> list[int]:
    return [int(line) for line in (folder / "pids").read_text().split()]


def gone(*wanted: int) -> bool:
    return not any(is_running(pid) for pid in wanted)


def test_only_allowed_commands_are_started(api: Any, plain: Any) -> None:
    with override_settings(STDIO_COMMANDS=()):
        problem = api.post("tool-servers", {"name": "lab", **plain()}).problem()
    assert problem["status"] == 422
    assert "OCTAVO_STDIO_COMMANDS" in problem["detail"]
    assert problem["errors"][0]["path"] == "/command"


@pytest.mark.parametrize("name", ["LD_PRELOAD", "ld_library_path", "DYLD_INSERT_LIBRARIES", "A=B"])
def test_the_loader_of_a_command_cannot_be_changed(api: Any, plain: Any, name: str) -> None:
    problem = api.post("tool-servers", {"name": "lab", **plain(**{name: "x"})}).problem()
    assert problem["status"] == 422
    assert name in problem["detail"]


def test_a_server_sees_only_its_own_environment(
    add: Any, call: Any, plain: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OCTAVO_SECRET_OF_OURS", "x")
    add("lab", **plain(GREETING="hello"))
    facts = json.loads(call("lab__about").text)
    folder = facts["cwd"]
    assert set(facts["env"]) - {"LC_CTYPE"} == {"PATH", "LANG", "HOME", "TMPDIR", "GREETING"}
    assert facts["env"]["HOME"] == facts["env"]["TMPDIR"] == folder
    assert Path(folder).stat().st_mode & 0o077 == 0
    assert facts["limits"]["RLIMIT_DATA"] == 4 * 2**30
    assert facts["limits"]["RLIMIT_NOFILE"] <= 1024
    assert facts["limits"]["RLIMIT_CORE"] == 0
    _close()
    assert not Path(folder).exists()


def _close() -> None:
    from apps.tools.services import connections
    from octavo.kernel import io

    io.call(connections.close(), timeout=30)


def test_calls_share_a_process_and_a_killed_one_is_replaced(
    add: Any, call: Any, plain: Any, tmp_path: Path
) -> None:
    add("lab", **plain())
    first = json.loads(call("lab__about").text)["pid"]
    assert json.loads(call("lab__about").text)["pid"] == first
    os.kill(first, signal.SIGKILL)
    again = json.loads(call("lab__about").text)["pid"]
    assert again != first
    _close()
    assert gone(*pids(tmp_path))


def test_a_server_that_dies_in_the_middle_may_have_acted(
    add: Any, call: Any, plain: Any, tmp_path: Path
) -> None:
    add("lab", **plain())
    with pytest.raises(ToolUnavailable) as caught:
        call("lab__die")
    assert caught.value.was_sent
    assert "I am dying" in str(caught.value)
    assert call("lab__echo", text="back").text == "back"


@pytest.mark.parametrize("mood", ["", "deaf"])
def test_whatever_a_server_has_started_ends_with_it(
    add: Any, call: Any, plain: Any, tmp_path: Path, mood: str
) -> None:
    add("lab", **plain(mood))
    escaped = int(call("lab__spawn").text)
    assert is_running(escaped)
    _close()
    assert gone(escaped, *pids(tmp_path))


def test_a_server_that_talks_nonsense_first_is_still_understood(
    add: Any, call: Any, plain: Any
) -> None:
    add("lab", **plain("garbage"))
    assert call("lab__echo", text="hi").text == "hi"


def test_a_server_that_never_ends_its_line_is_refused(api: Any, plain: Any, tmp_path: Path) -> None:
    problem = api.post("tool-servers", {"name": "lab", **plain("endless")}).problem()
    assert problem["status"] == 502
    assert gone(*pids(tmp_path))


def test_a_command_that_is_no_server_is_refused_with_its_last_words(api: Any) -> None:
    code = "import sys; sys.exit('no licence')"
    body = {"name": "lab", "transport": "stdio", "command": sys.executable, "args": ["-c", code]}
    problem = api.post("tool-servers", body).problem()
    assert problem["status"] == 502
    assert "no licence" in problem["detail"]
    assert api.get("tool-servers").body["items"] == []


_OWNER = """
import asyncio, os, sys, signal
sys.path[:0] = [{root!r}, {platform!r}]
import django
django.setup()
from apps.tools.adapters import mcp_connections
from apps.tools.types import Transport, Upstream
from octavo.kernel import ids, io

upstream = Upstream(server_id=ids.new(), server="lab", transport=Transport.STDIO,
                    command=sys.executable, args=("-S", {plain!r}, {folder!r}))

async def connect():
    async with mcp_connections.use(upstream):
        pass

io.call(connect(), timeout=90)
print("connected", flush=True)
signal.pause()
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_no_process_is_left_when_octavos_own_is_ended(
    tmp_path: Path, number: signal.Signals
) -> None:
    from tests.integration.tools.conftest import PLAIN

    source = _OWNER.format(
        root=str(ROOT), platform=str(ROOT / "platform"), plain=str(PLAIN), folder=str(tmp_path)
    )
    environment = os.environ | {"OCTAVO_STDIO_COMMANDS": sys.executable}
    with subprocess.Popen(
        [sys.executable, "-c", source], stdout=subprocess.PIPE, env=environment, text=True
    ) as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == "connected\n"
        server = pids(tmp_path)[0]
        watch = os.pidfd_open(server)
        owner.send_signal(number)
        owner.wait(timeout=30)
    import select

    ended, _, _ = select.select([watch], [], [], 30)
    os.close(watch)
    assert ended
    assert gone(server)


def test_a_cancelled_owner_leaves_no_process(plain: Any, tmp_path: Path) -> None:
    import asyncio

    from apps.tools.adapters import mcp_connections
    from apps.tools.types import Transport, Upstream
    from octavo.kernel import ids

    fields = plain()
    upstream = Upstream(
        server_id=ids.new(),
        server="lab",
        transport=Transport.STDIO,
        command=fields["command"],
        args=tuple(fields["args"]),
    )

    async def cancel_all() -> None:
        async with mcp_connections.use(upstream):
            pass  # asyncio.run cancels the owner when this returns

    asyncio.run(cancel_all())
    assert gone(*pids(tmp_path))
