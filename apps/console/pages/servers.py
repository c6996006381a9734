"""Tool servers: added, asked again, switched off and on, removed, and their tools approved at once.

A server is spoken to before anything is written: a form that waits for one holds no transaction.
"""

import shlex
from collections.abc import Callable
from dataclasses import replace

from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect
from django.views.decorators.http import require_POST

from apps.console import web
from apps.console.pages import tools as page
from apps.tools.services import discovering, reviewing, servers
from apps.tools.types import Classes, ServerSpec, Transport
from octavo.kernel.errors import InvalidInput, OctavoError
from octavo.kernel.scope import Scope


@require_POST
@web.signed_in
def add(request: HttpRequest, scope: Scope) -> HttpResponse:
    try:
        spec = _spec(request.POST)
        found = discovering.discover(scope=scope, spec=spec)
        servers.add_server(scope=scope, spec=spec, found=found)
    except OctavoError as refusal:
        return page.render_index(request, scope, refusal=refusal)
    return redirect("console:tools")


@require_POST
@web.signed_in
def change(request: HttpRequest, scope: Scope, name: str) -> HttpResponse:
    """`act` is one of refresh, approve, enable, disable, remove."""
    act = _ACTS.get(request.POST.get("act", ""))
    try:
        if act is None:
            raise InvalidInput(f"Choose what to do with the server: {', '.join(_ACTS)}.")
        act(scope, name)
    except OctavoError as refusal:
        return page.render_index(request, scope, refusal=refusal, at=name)
    return redirect("console:tools")


def _refresh(scope: Scope, name: str) -> None:
    found = discovering.discover_again(scope=scope, name=name)
    servers.record_discovery(scope=scope, name=name, found=found)


def _approve(scope: Scope, name: str) -> None:
    """Every tool that needs no closer look, with the careful classes of a new one."""
    reviewing.approve_server(scope=scope, server=name, classes=Classes())


def _enable(scope: Scope, name: str) -> None:
    _switch(scope, name, is_on=True)


def _disable(scope: Scope, name: str) -> None:
    _switch(scope, name, is_on=False)


def _switch(scope: Scope, name: str, *, is_on: bool) -> None:
    spec = replace(servers.get_spec(scope=scope, name=name), enabled=is_on)
    found = discovering.discover(scope=scope, spec=spec)
    servers.change_server(scope=scope, spec=spec, found=found)


def _remove(scope: Scope, name: str) -> None:
    servers.remove_server(scope=scope, name=name)


_ACTS: dict[str, Callable[[Scope, str], None]] = {
    "refresh": _refresh,
    "approve": _approve,
    "enable": _enable,
    "disable": _disable,
    "remove": _remove,
}


def _spec(form: QueryDict) -> ServerSpec:
    """Only the fields of the chosen transport count: the others are hidden, not empty."""
    name = web.text_of(form, "name", most=64)
    if form.get("transport") != Transport.STDIO:
        return ServerSpec(
            name=name,
            transport=Transport.HTTP,
            url=web.text_of(form, "url", most=2000),
            token=web.text_of(form, "token", most=8000),
        )
    command, *args = _words(web.text_of(form, "command", most=4000))
    return ServerSpec(
        name=name,
        transport=Transport.STDIO,
        command=command,
        args=tuple(args),
        env=_environment(web.text_of(form, "env")),
    )


def _words(line: str) -> list[str]:
    try:
        return shlex.split(line) or [""]
    except ValueError:
        raise _wrong("/command", "A quote in the command has no end. Close it.") from None


def _environment(text: str) -> dict[str, str]:
    found = {}
    for line in filter(None, map(str.strip, text.splitlines())):
        name, is_set, value = line.partition("=")
        if not is_set or not name:
            raise _wrong("/env", "Write one NAME=value a line.")
        found[name.strip()] = value
    return found


def _wrong(path: str, detail: str) -> InvalidInput:
    return InvalidInput(detail, errors=[{"path": path, "detail": detail}])
