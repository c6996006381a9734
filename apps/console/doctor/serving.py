"""Where models come from: each provider is looked at once, then each route is judged by that."""

from collections.abc import Mapping, Sequence

from django.conf import settings

from apps.accounts import selectors as accounts
from apps.console.doctor.findings import Finding, broken, ok, warning
from apps.inference.services import health
from apps.inference.types import ProviderHealth, ServerLoad
from apps.model_registry import selectors as registry
from apps.model_registry.types import ProviderKind, RouteView, Target
from octavo.kernel.errors import NotFound

_CHECK = "GET /api/v1/models/providers/{}/health says more."


def models() -> Sequence[Finding]:
    """The built-in server, each provider, and each route of the first project."""
    try:
        project = accounts.default_project()
    except NotFound:
        step = "Run `python manage.py bootstrap` (`make up` does)."
        return [broken("Project", "there is none yet", step)]
    scope = accounts.system_scope(project_id=project.id)
    providers = registry.list_providers(scope=scope)
    routes = registry.list_routes(scope=scope)
    looked = {look.provider: look for look in health.check_providers(providers=providers)}
    used = {target.model.provider for route in routes for target in route.targets}
    kinds = {provider.name: provider.kind for provider in providers}
    return [
        *(_provider(look, kinds[name], name in used) for name, look in looked.items()),
        *(_route(route, looked) for route in routes),
    ]


def _provider(look: ProviderHealth, kind: ProviderKind, is_used: bool) -> Finding:
    name = f"Provider {look.provider}"
    if look.is_answering:
        version = f" {look.version}" if look.version else ""
        return ok(name, f"{kind}{version} answers in {look.latency_ms} ms{_load(look.load)}")
    detail = f"{kind} does not answer ({look.problem})"
    step = (
        f"Start the model server at {settings.MODEL_SERVER_URL} (`make up` does)."
        if kind is ProviderKind.BUILTIN
        else "Start that server, or correct the provider's base_url or key. "
        + _CHECK.format(look.provider)
    )
    return warning(name, detail, step if is_used else f"No route uses it. {step}")


def _load(load: ServerLoad | None) -> str:
    if load is None:
        return ""
    use = "" if load.kv_cache_use is None else f", KV cache {load.kv_cache_use:.0%} full"
    return f"; {load.running} running, {load.waiting} waiting{use}"


def _route(route: RouteView, looked: Mapping[str, ProviderHealth]) -> Finding:
    name = f"Route {route.name}"
    shown = [_target(target, looked[target.model.provider]) for target in route.targets]
    detail = "; then ".join(text for text, _ in shown)
    step = "Start what does not answer, or point the route elsewhere: POST /api/v1/models/routes."
    if not any(works for _, works in shown):
        return broken(name, detail or "leads nowhere", step)
    return ok(name, detail) if all(works for _, works in shown) else warning(name, detail, step)


def _target(target: Target, look: ProviderHealth) -> tuple[str, bool]:
    """The target in words, and whether it works. Not every server lists all that it serves."""
    shown = f"{target.model.provider}/{target.model.name}"
    if not look.is_answering:
        return f"{shown} (does not answer)", False
    is_local = target.provider_kind in {ProviderKind.VLLM, ProviderKind.OLLAMA}
    if is_local and look.models and target.model.name not in look.models:
        return f"{shown} (its server lists only {', '.join(look.models[:5])})", False
    return f"{shown} in {look.latency_ms} ms", True


def ollama() -> Sequence[Finding]:
    found = health.find_ollama_models()
    if not found:
        return [ok("Ollama", "none on this machine, not needed")]
    return [ok("Ollama", f"offers {', '.join(found[:5])}")]
