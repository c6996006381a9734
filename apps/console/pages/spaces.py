"""The context store: spaces, their entries as a tree, search, what is in doubt, and files on their
way in and out.
"""

from typing import Any

from django.conf import settings
from django.http import FileResponse, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect
from django.views.decorators.http import require_GET, require_POST

from apps.agents import selectors as agents
from apps.console import comparing, web
from apps.console.pages.history import moment_of, stood_of
from apps.console.trees import tree_of
from apps.context import selectors as context
from apps.context.services import ingestion, searching, spaces, transferring
from apps.context.types import Moment, SearchMode, SpaceKind
from apps.governance.types import Action
from octavo.kernel import ids
from octavo.kernel.errors import InvalidInput, OctavoError
from octavo.kernel.scope import Scope

_MOST, _MOST_ENTRIES, _MOST_AGENTS, _MOST_FLAGS, _HITS = 200, 1000, 1000, 200, 10
_LONGEST_FILTER = 2000
COMPARED = "side by side"


@require_GET
@web.signed_in
def index(request: HttpRequest, scope: Scope) -> HttpResponse:
    return _index(request, scope)


def _index(
    request: HttpRequest, scope: Scope, *, name: str = "", refusal: OctavoError | None = None
) -> HttpResponse:
    shown = {
        "spaces": context.list_spaces(scope=scope, limit=_MOST),
        "kinds": list(SpaceKind),
        "may_manage": web.may(scope, Action.SPACE_MANAGE),
        "name": name,
        "refusal": refusal.detail if refusal else "",
    }
    return web.render(request, scope, "spaces", shown, status=refusal.status if refusal else 200)


@require_POST
@web.signed_in
def create(request: HttpRequest, scope: Scope) -> HttpResponse:
    name, kind = web.text_of(request.POST, "name", most=100), request.POST.get("kind", "text")
    try:
        spaces.create_space(
            scope=scope,
            name=name,
            kind=SpaceKind(kind) if kind in list(SpaceKind) else SpaceKind.TEXT,
        )
    except OctavoError as refusal:
        return _index(request, scope, name=name, refusal=refusal)
    return redirect("console:space", space=name)


@require_GET
@web.signed_in
def show(request: HttpRequest, scope: Scope, space: str) -> HttpResponse:
    """The tree; `?q=` the best hits of a search above it, `?as_of=41` the tree as it stood then."""
    try:
        as_of = moment_of(request.GET.get("as_of", "").strip())
    except OctavoError as refusal:
        return _show(request, scope, space, refusal=refusal)
    return _show(request, scope, space, as_of=as_of)


def _show(
    request: HttpRequest,
    scope: Scope,
    space: str,
    *,
    as_of: Moment | None = None,
    refusal: OctavoError | None = None,
) -> HttpResponse:
    place = context.get_space(scope=scope, name=space)
    as_of = None if as_of == place.seq else as_of
    entries = context.list_entries(scope=scope, space=space, limit=_MOST_ENTRIES, as_of=as_of)
    shown = {
        "space": place,
        "tree": tree_of(entries),
        "is_cut": len(entries) == _MOST_ENTRIES,
        "modes": [*SearchMode, COMPARED],
        "stood": stood_of(as_of),
        "may_write": as_of is None and web.may(scope, Action.CONTEXT_WRITE),
        "most_bytes": settings.MAX_FILE_BYTES,
        "refusal": refusal.detail if refusal else "",
        "at": as_of if isinstance(as_of, int) else place.seq,
        "granted": _granted(scope, space),
        **_search(request, scope, space, as_of),
    }
    return web.render(request, scope, "space", shown, status=refusal.status if refusal else 200)


def _granted(scope: Scope, space: str) -> list[tuple[str, str]]:
    """The agents that may use the space, by name, and what each may do."""
    found = agents.list_agents(scope=scope, limit=_MOST_AGENTS)
    return sorted(
        (agent.name, grant.access.value)
        for agent in found
        for grant in agent.definition.spaces
        if grant.space == space
    )


def _search(request: HttpRequest, scope: Scope, space: str, as_of: Moment | None) -> dict[str, Any]:
    words = request.GET.get("q", "").replace("\0", "").strip()[: searching.MAX_QUERY]
    filtered = request.GET.get("where", "").replace("\0", "").strip()[:_LONGEST_FILTER]
    mode = request.GET.get("mode", "")
    mode = mode if mode in {*SearchMode, COMPARED} else SearchMode.HYBRID
    shown: dict[str, Any] = {"q": words, "mode": mode, "where": filtered}
    if not words:
        return shown
    try:
        where = comparing.read_filter(filtered)
        asked: dict[str, Any] = {"scope": scope, "query": words, "as_of": as_of, "where": where}
        if mode == COMPARED:
            rows = comparing.compare_legs(space=space, limit=_HITS, **asked)
            return {**shown, "legs": comparing.LEGS, "compared": rows}
        found = searching.search(spaces=[space], limit=_HITS, mode=SearchMode(mode), **asked)
    except OctavoError as refusal:
        return {**shown, "search_refusal": refusal.detail, "hits": ()}
    return {**shown, "hits": found.hits, "degraded": found.degraded}


@require_GET
@web.signed_in
def flags(request: HttpRequest, scope: Scope, space: str) -> HttpResponse:
    """What no longer holds, rests on what was changed since, or is contradicted."""
    found = context.list_flags(scope=scope, space=space, limit=_MOST_FLAGS + 1)
    shown = {
        "space": context.get_space(scope=scope, name=space),
        "flags": found[:_MOST_FLAGS],
        "is_cut": len(found) > _MOST_FLAGS,
    }
    return web.render(request, scope, "flags", shown)


@require_GET
@web.signed_in
def export(request: HttpRequest, scope: Scope, space: str) -> HttpResponseBase:
    """The space and its history as plain files."""
    return FileResponse(
        transferring.open_export(scope=scope, space=space),
        as_attachment=True,
        filename=f"{space}.tar.gz",
        content_type="application/gzip",
    )


@require_POST
@web.signed_in
def upload(request: HttpRequest, scope: Scope, space: str) -> HttpResponse:
    try:
        files = request.FILES.getlist("files")
        if not files:
            raise InvalidInput("Choose one or more files first.")
        uploads = [(str(file.name), file) for file in files]
        job = ingestion.start_job(scope=scope, space=space, uploads=uploads)
    except OctavoError as refusal:
        return _show(request, scope, space, refusal=refusal)
    return redirect("console:job", space=space, job_id=ids.encode(ids.Kind.JOB, job.id))


@require_GET
@web.signed_in
def job(request: HttpRequest, scope: Scope, space: str, job_id: str) -> HttpResponse:
    """What became of each file; the part that changes asks again until the job is over."""
    found = context.get_job(scope=scope, job_id=ids.decode(ids.Kind.JOB, job_id))
    shown = {
        "space": context.get_space(scope=scope, name=space),
        "job": found,
        "job_id": job_id,
        "is_over": found.done >= found.total,
    }
    template = "_job" if request.headers.get("HX-Request") else "job"
    return web.render(request, scope, template, shown)
