"""Providers, their models, and the routes that agents name."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_GET, require_POST

from apps.console import web
from apps.governance.types import Action
from apps.model_registry import selectors as models
from apps.model_registry import services
from apps.model_registry.types import ModelKind, ProviderKind
from octavo.kernel.errors import InvalidInput, OctavoError
from octavo.kernel.scope import Scope

_KINDS = [kind for kind in ProviderKind if kind is not ProviderKind.BUILTIN]


@require_GET
@web.signed_in
def index(request: HttpRequest, scope: Scope) -> HttpResponse:
    return _show(request, scope)


@require_POST
@web.signed_in
def add_provider(request: HttpRequest, scope: Scope) -> HttpResponse:
    kind = request.POST.get("kind", "")
    try:
        if kind not in _KINDS:
            raise InvalidInput("Choose what kind of provider it is.")
        services.create_provider(
            scope=scope,
            name=web.text_of(request.POST, "name", most=100),
            kind=ProviderKind(kind),
            base_url=web.text_of(request.POST, "base_url", most=2000),
            api_key=web.text_of(request.POST, "api_key", most=2000),
        )
    except OctavoError as refusal:
        return _show(request, scope, refusal=refusal, refused="provider")
    return redirect("console:models")


@require_POST
@web.signed_in
def set_route(request: HttpRequest, scope: Scope) -> HttpResponse:
    """Targets are lines `provider/model`; the first that works is used."""
    kind = request.POST.get("kind", "")
    lines = web.text_of(request.POST, "targets", most=5000).splitlines()
    try:
        services.set_route(
            scope=scope,
            name=web.text_of(request.POST, "name", most=100),
            kind=ModelKind(kind) if kind in list(ModelKind) else ModelKind.CHAT,
            targets=[_target(line.strip()) for line in lines if line.strip()],
        )
    except OctavoError as refusal:
        return _show(request, scope, refusal=refusal, refused="route")
    return redirect("console:models")


def _target(line: str) -> tuple[str, str]:
    provider, _, model = line.partition("/")
    if not model:
        raise InvalidInput(
            f"{line!r} names no model. Write provider/model, one a line.",
            errors=[{"path": "/targets", "detail": "write provider/model, one a line"}],
        )
    return provider.strip(), model.strip()


def _show(
    request: HttpRequest,
    scope: Scope,
    *,
    refusal: OctavoError | None = None,
    refused: str = "",
) -> HttpResponse:
    may_manage = web.may(scope, Action.MODEL_MANAGE)
    shown = {
        "routes": models.list_routes(scope=scope),
        "models": models.list_models(scope=scope),
        "providers": models.list_providers(scope=scope) if may_manage else (),
        "may_manage": may_manage,
        "provider_kinds": _KINDS,
        "model_kinds": list(ModelKind),
        "posted": request.POST,
        "refused": refused,
        "refusal": refusal.detail if refusal else "",
        "errors": web.errors_of(refusal) if refusal else {},
    }
    return web.render(request, scope, "models", shown, status=refusal.status if refusal else 200)
