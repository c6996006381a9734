"""Speaking to a server to learn what it offers; nothing is written but that it failed."""

from apps.tools import rows, selectors
from apps.tools.services import servers, specs
from apps.tools.types import Discovery, ServerSpec, Transport, Upstream
from octavo.kernel import ids, io
from octavo.kernel.errors import UpstreamFailed
from octavo.kernel.scope import Scope

_SECONDS = 75.0


def discover(*, scope: Scope, spec: ServerSpec) -> Discovery | None:
    """What the server shows under `spec`; None, and nothing is sent, when it is not enabled.

    Needs `tool.manage`. Raises `UpstreamFailed` saying why it cannot be spoken to. Must be called
    outside a transaction.
    """
    specs.check(scope, spec)
    return _ask(_upstream(spec)) if spec.enabled else None


def discover_again(*, scope: Scope, name: str) -> Discovery:
    """What the server shows now. A failure is also written down as the server's health."""
    row = selectors.server_row(scope=scope, name=name)
    specs.check(scope, rows.spec_of(row))
    try:
        return _ask(rows.upstream_of(row))
    except UpstreamFailed as error:
        servers.record_failure(scope=scope, name=name, why=error.detail)
        raise


def _ask(upstream: Upstream) -> Discovery:
    from apps.tools.adapters import mcp_client  # seconds of imports that most processes never need

    try:
        return io.call(mcp_client.discover(upstream), timeout=_SECONDS)
    except TimeoutError:
        raise UpstreamFailed(
            f"The tool server {upstream.server!r} did not list its tools within {_SECONDS:g} s.",
            retryable=True,
        ) from None


def _upstream(spec: ServerSpec) -> Upstream:
    is_local = spec.transport is Transport.STDIO
    return Upstream(
        server_id=ids.new(),
        server=spec.name,
        transport=spec.transport,
        url=spec.url,
        command=spec.command,
        args=spec.args,
        env=tuple(sorted(spec.env.items())) if is_local else (),
        token=spec.token,
    )
