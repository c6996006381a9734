"""How programs and coding agents reach this installation: lines to copy, with its own address."""

from dataclasses import dataclass

import orjson
from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_GET

from apps.console import web
from apps.governance.types import Action
from octavo.kernel.scope import Scope


@dataclass(frozen=True, slots=True, kw_only=True)
class Snippet:
    """`key` is the purpose for which a key is made."""

    name: str
    what: str
    text: str
    key: str


@require_GET
@web.signed_in
def index(request: HttpRequest, scope: Scope) -> HttpResponse:
    shown = {
        "snippets": snippets(web.public_url()),
        "url": web.public_url(),
        "may_make_keys": web.may(scope, Action.KEY_MANAGE),
    }
    return web.render(request, scope, "connect", shown)


def snippets(url: str) -> list[Snippet]:
    """Each says `$OCTAVO_KEY` where a key goes."""
    return [
        Snippet(
            name="curl", what="Start a run and wait for its answer.", text=_curl(url), key="run"
        ),
        Snippet(
            name="OpenAI SDK",
            what="Any OpenAI-compatible program: the model is a route's name.",
            text=_openai(url),
            key="models",
        ),
        Snippet(
            name="Claude Code",
            what="Tools and shared context over MCP.",
            text=f"claude mcp add --transport http octavo {url}/mcp "
            '--header "Authorization: Bearer $OCTAVO_KEY"',
            key="everything",
        ),
        Snippet(
            name="Cursor",
            what="In .cursor/mcp.json.",
            text=_mcp_json(url, with_type=False),
            key="everything",
        ),
        Snippet(
            name="Any MCP client",
            what="Streamable HTTP; the file's name differs by client.",
            text=_mcp_json(url, with_type=True),
            key="everything",
        ),
    ]


def _curl(url: str) -> str:
    body = '{"agent": "guide", "input": "How do I add my own files?", "wait_seconds": 60}'
    return (
        f'curl -s {url}/api/v1/runs -H "Authorization: Bearer $OCTAVO_KEY" \\\n'
        f"  -H \"Content-Type: application/json\" \\\n  -d '{body}'"
    )


def _openai(url: str) -> str:
    return (
        "import os\nfrom openai import OpenAI\n\n"
        f'client = OpenAI(base_url="{url}/v1", api_key=os.environ["OCTAVO_KEY"])\n'
        'answer = client.chat.completions.create(\n    model="default",\n'
        '    messages=[{"role": "user", "content": "Hello"}],\n)\n'
        "print(answer.choices[0].message.content)"
    )


def _mcp_json(url: str, *, with_type: bool) -> str:
    server: dict[str, object] = {"type": "http"} if with_type else {}
    server |= {"url": f"{url}/mcp", "headers": {"Authorization": "Bearer ${OCTAVO_KEY}"}}
    whole = {"mcpServers": {"octavo": server}}
    return orjson.dumps(whole, option=orjson.OPT_INDENT_2).decode()
