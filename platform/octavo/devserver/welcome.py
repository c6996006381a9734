"""What a newcomer sees once everything runs: where to go, how to sign in, what to try."""

from collections.abc import Mapping
from typing import Any, TextIO

from rich.console import Console
from rich.rule import Rule
from rich.text import Text

_LABEL = 16


def print_welcome(
    stream: TextIO, *, url: str, bootstrap: Mapping[str, Any], problems: list[str]
) -> None:
    """`bootstrap` is what `manage.py bootstrap --json` printed; `problems` are repeated in the
    block.

    No line is folded, so that links and commands can be copied whole.
    """
    console = Console(file=stream, highlight=False, soft_wrap=True)
    console.print()
    console.print(Rule(Text("Octavo is up", style="bold"), align="left"))
    for name, value in _facts(url, bootstrap, problems):
        console.print(Text.assemble((f"  {name:<{_LABEL}}", "dim"), value))
    console.print()
    console.print(Text("  Three things to try", style="bold"))
    for line in _commands(url, bootstrap.get("api_key")):
        console.print(Text(f"    {line}"))
    console.print()
    console.print(Text("  Ctrl-C stops everything; your data stays."))
    console.print(Rule())


def _facts(url: str, bootstrap: Mapping[str, Any], problems: list[str]) -> list[tuple[str, str]]:
    link = str(bootstrap.get("login_url") or "")
    rows = [
        ("Console", url),
        ("Sign in (once)", f"{url}{link}" if link.startswith("/") else link),
        ("Admin", str(bootstrap.get("admin_email") or "")),
        ("API key", str(bootstrap.get("api_key") or "(created earlier)")),
        *_model_rows(bootstrap.get("model") or {}),
        *(("Attention", problem) for problem in problems),
    ]
    return [(name, value) for name, value in rows if value]


def _model_rows(model: Mapping[str, Any]) -> list[tuple[str, str]]:
    if not model:
        return []
    tier = f", {model['tier']} model" if model.get("tier") else ""
    source = f" ({model['source']})" if model.get("source") else ""
    return [("Model", f"{model.get('name')}{tier}{source}"), ("", str(model.get("hint") or ""))]


def _commands(url: str, key: str | None) -> list[str]:
    return [
        f'curl -s {url}/api/v1/runs -H "Authorization: Bearer {key or "$OCTAVO_KEY"}" \\',
        "  -H 'Content-Type: application/json' \\",
        '  -d \'{"agent": "guide", "input": "How do I add my own files?", "wait_seconds": 60}\'',
        '.venv/bin/python manage.py run guide "What survives a killed process?"',
        ".venv/bin/python manage.py context add notes ./a-folder-of-yours",
    ]
