"""Writing an entry by hand, new or the next revision of one, and never over what was not seen."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import orjson
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect
from django.views.decorators.http import require_http_methods

from apps.console import diffing, web
from apps.console.pages.history import moment_of
from apps.context import selectors as context
from apps.context.services import writing
from apps.context.types import EntryKind, EntryView
from octavo.kernel.errors import Conflict, InvalidInput, NotFound, OctavoError
from octavo.kernel.scope import Scope

MOST_EDITED = 400_000  # characters
_KINDS = (EntryKind.DOCUMENT, EntryKind.MEMORY, EntryKind.FACT, EntryKind.DECISION)


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """An entry as its form holds it. `base` is the revision that its writer saw, 0 for none."""

    key: str
    kind: str = EntryKind.DOCUMENT
    text: str = ""
    metadata: str = ""
    valid_from: str = ""
    valid_to: str = ""
    why: str = ""
    base: int = 0


@require_http_methods(["GET", "POST"])
@web.signed_in
def create(request: HttpRequest, scope: Scope, space: str) -> HttpResponse:
    """`?key=runbooks/` begins with that key."""
    if request.method == "GET":
        return _page(request, scope, space, Form(key=request.GET.get("key", "")[:500]))
    form = _typed(request.POST, web.text_of(request.POST, "key", most=1000))
    return _answer(request, scope, space, form, None)


@require_http_methods(["GET", "POST"])
@web.signed_in
def edit(request: HttpRequest, scope: Scope, space: str, key: str) -> HttpResponse:
    if request.method == "POST":
        form, entry = _typed(request.POST, key), _find(scope, space, key)
        if entry is None and form.base:
            gone = Conflict(f"{key} was deleted while you were editing. Saving writes it anew.")
            return _page(request, scope, space, replace(form, base=0), refusal=gone)
        return _answer(request, scope, space, form, entry)
    entry = context.get_entry(scope=scope, space=space, key=key)
    if len(entry.text) > MOST_EDITED:
        raise InvalidInput(
            f"{key!r} has more than {MOST_EDITED:,} characters, too many for a form. Upload the "
            "changed file, or send it to the API."
        )
    return _page(request, scope, space, _form_of(entry), entry=entry)


def _answer(
    request: HttpRequest, scope: Scope, space: str, form: Form, entry: EntryView | None
) -> HttpResponse:
    """Save the form, or show it again with what is wrong."""
    try:
        return _save(scope, space, form, entry)
    except Conflict as conflict:
        there = _find(scope, space, form.key)
        newest = there if entry else None
        return _page(request, scope, space, form, entry=newest, there=there, refusal=conflict)
    except OctavoError as refusal:
        return _page(request, scope, space, form, entry=entry, refusal=refusal)


def _find(scope: Scope, space: str, key: str) -> EntryView | None:
    try:
        return context.get_entry(scope=scope, space=space, key=key)
    except NotFound:
        return None


def _save(scope: Scope, space: str, form: Form, entry: EntryView | None) -> HttpResponse:
    """What the form does not ask stays as it is in `entry`."""
    was = entry.revision if entry else None
    writing.write_entry(
        scope=scope,
        space=space,
        key=form.key,
        content=form.text,
        why=form.why,
        kind=_kind_of(form, entry),
        base_rev=form.base,
        metadata=_metadata_of(form.metadata),
        trust=entry.trust if entry else "trusted",
        sources=was.sources if was else (),
        valid_from=_time_of("valid_from", form.valid_from, was.valid_from if was else None),
        valid_to=_time_of("valid_to", form.valid_to, was.valid_to if was else None),
        expires_at=was.expires_at if was else None,
    )
    return redirect("console:entry", space=space, key=form.key)


def _form_of(entry: EntryView) -> Form:
    return Form(
        key=entry.key,
        kind=entry.kind,
        text=entry.text,
        metadata=_shown_metadata(entry.metadata),
        valid_from=_shown_time(entry.revision.valid_from),
        valid_to=_shown_time(entry.revision.valid_to),
        base=entry.revision.number,
    )


def _typed(given: QueryDict, key: str) -> Form:
    base = given.get("base", "")
    return Form(
        key=key,
        kind=given.get("kind", ""),
        text=given.get("text", "").replace("\0", "").replace("\r\n", "\n"),
        metadata=web.text_of(given, "metadata"),
        valid_from=web.text_of(given, "valid_from", most=40),
        valid_to=web.text_of(given, "valid_to", most=40),
        why=web.text_of(given, "why", most=2000),
        base=int(base) if base.isascii() and base.isdigit() and len(base) < 10 else 0,
    )


def _kind_of(form: Form, entry: EntryView | None) -> EntryKind:
    if entry and entry.kind not in _KINDS:
        return entry.kind
    if form.kind not in _KINDS:
        raise _wrong("kind", f"one of {', '.join(_KINDS)}")
    return EntryKind(form.kind)


def _metadata_of(text: str) -> dict[str, Any]:
    try:
        found = orjson.loads(text or "{}")
    except orjson.JSONDecodeError as broken:
        raise _wrong("metadata", f"not JSON: {broken}") from None
    if not isinstance(found, dict):
        raise _wrong("metadata", 'a JSON object, such as {"team": "platform"}')
    return found


def _time_of(name: str, text: str, was: datetime | None) -> datetime | None:
    """`was` where it is what the form shows of it: a form has no parts of a second."""
    if text == _shown_time(was):
        return was
    try:
        moment = moment_of(text)
    except InvalidInput:
        moment = 0
    if isinstance(moment, int):
        raise _wrong(name, "a time such as 2026-01-31T12:00")
    return moment


def _wrong(name: str, detail: str) -> InvalidInput:
    errors = [{"path": f"/{name}", "detail": detail}]
    return InvalidInput(f"The entry cannot be written. {name}: {detail}.", errors=errors)


def _shown_metadata(metadata: Mapping[str, Any]) -> str:
    return orjson.dumps(metadata, option=orjson.OPT_INDENT_2).decode() if metadata else ""


def _shown_time(moment: datetime | None) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M}" if moment else ""


def _page(
    request: HttpRequest,
    scope: Scope,
    space: str,
    form: Form,
    *,
    entry: EntryView | None = None,
    there: EntryView | None = None,
    refusal: OctavoError | None = None,
) -> HttpResponse:
    """`entry` is what is edited; `there` what another wrote meanwhile, or where a new one was to
    be.
    """
    shown = {
        "space": context.get_space(scope=scope, name=space),
        "form": form,
        "is_new": entry is None,
        "base": there.revision.number if there and entry else form.base,
        "there": there,
        "diff": diffing.compare(there.text, form.text) if there and entry else None,
        "their_metadata": _shown_metadata(there.metadata) if there else "",
        "kinds": _KINDS if entry is None or entry.kind in _KINDS else (entry.kind,),
        "errors": web.errors_of(refusal) if refusal else {},
        "refusal": refusal.detail if refusal else "",
    }
    return web.render(
        request, scope, "entry_form", shown, status=refusal.status if refusal else 200
    )
