"""What may be said about a server, checked before anything is sent to it."""

from apps.governance.services import decisions
from apps.governance.types import Action, Resource
from apps.tools import naming
from apps.tools.types import ServerSpec, Transport
from octavo.kernel import egress
from octavo.kernel.errors import InvalidInput
from octavo.kernel.scope import Scope


def check(scope: Scope, spec: ServerSpec) -> None:
    """Raises `Forbidden` without `tool.manage`, `InvalidInput` for a spec that cannot work."""
    decisions.check(scope=scope, action=Action.TOOL_MANAGE, resource=Resource.project_of(scope))
    naming.check_server_name(spec.name)
    if spec.transport is Transport.HTTP:
        _check_http(spec)
    else:
        _check_stdio(spec)


def _check_http(spec: ServerSpec) -> None:
    if spec.command or spec.args or spec.env:
        raise _wrong("/command", "A server over HTTP has a `url`, and no `command` or `env`.")
    try:
        egress.check_url(spec.url)
    except InvalidInput as refused:
        raise _wrong("/url", refused.detail) from None
    if "@" in spec.url.partition("//")[2].partition("/")[0]:
        raise _wrong("/url", "Credentials do not belong in an address: send them as `token`.")
    if not (spec.token.isascii() and spec.token.isprintable() and " " not in spec.token):
        raise _wrong("/token", "A token is printable ASCII without blanks.")


def _check_stdio(spec: ServerSpec) -> None:
    from apps.tools.adapters import commands

    if spec.url or spec.token:
        raise _wrong("/url", "A server over stdio has a `command`; it has no `url` and no `token`.")
    commands.resolve(spec.command)
    commands.check_environment(spec.env)
    if any("\0" in text for text in (*spec.args, *spec.env.values())):
        raise _wrong("/args", "No argument or variable can hold the character U+0000.")


def _wrong(path: str, detail: str) -> InvalidInput:
    return InvalidInput(detail, errors=[{"path": path, "detail": detail}])
