"""One entry: its text at any revision, the cited characters marked, two revisions side by side."""

import json
from dataclasses import dataclass

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.safestring import SafeString
from django.views.decorators.http import require_GET, require_POST

from apps.console import diffing, marking, web
from apps.console.pages.history import moment_of
from apps.context import selectors as context
from apps.context.services import writing
from apps.context.types import EntryView, RevisionView
from apps.governance.types import Action
from octavo.kernel.errors import NotFound
from octavo.kernel.scope import Scope

_REVISIONS, _READINGS = 100, 8
_MOST_SHOWN = 400_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Cited:
    """The text in three parts, of which the middle one was cited."""

    before: str
    marked: str
    after: str


@require_GET
@web.signed_in
def show(request: HttpRequest, scope: Scope, space: str, key: str) -> HttpResponse:
    """`?revision=2` the text then, `?as_of=41` at that moment of its space; `&start=10&end=80`
    marks it; `&compare=1` lays it beside revision 1.
    """
    revisions = context.list_revisions(scope=scope, space=space, key=key, limit=_REVISIONS)
    as_of = moment_of(request.GET.get("as_of", "").strip())
    entry = (
        _at(scope, space, key, _number(request, "revision"))
        if as_of is None
        else context.get_entry(scope=scope, space=space, key=key, as_of=as_of)
    )
    other = _number(request, "compare")
    shown = {
        "entry": entry,
        "revisions": revisions,
        "metadata": _metadata(entry),
        "readings": context.list_readings(scope=scope, space=space, key=key, limit=_READINGS),
        "is_newest": entry.revision.number == revisions[0].number,
        "other": other,
        "diff": _diff(scope, entry, other) if other else None,
        "cited": _cited(request, entry.text),
        "rendered": _rendered(request, entry),
        "is_long": len(entry.text) > _MOST_SHOWN,
        "text": entry.text[:_MOST_SHOWN],
        "may_write": web.may(scope, Action.CONTEXT_WRITE),
        "may_erase": web.may(scope, Action.SPACE_MANAGE),
    }
    return web.render(request, scope, "entry", shown)


@require_POST
@web.signed_in
def remove(request: HttpRequest, scope: Scope, space: str, key: str) -> HttpResponse:
    """Delete: the history stays. Erase: nothing does."""
    why = web.text_of(request.POST, "why", most=2000) or "Deleted in the console."
    act = writing.erase_entry if request.POST.get("how") == "erase" else writing.delete_entry
    act(scope=scope, space=space, key=key, why=why)
    return redirect("console:space", space=space)


def _at(scope: Scope, space: str, key: str, number: int | None) -> EntryView:
    if number is None:
        return context.get_entry(scope=scope, space=space, key=key)
    found = _find_revision(scope, space, key, number)
    return context.get_entry(scope=scope, space=space, key=key, as_of=found.seq)


def _find_revision(scope: Scope, space: str, key: str, number: int) -> RevisionView:
    page = context.list_revisions(scope=scope, space=space, key=key, limit=1, before=number + 1)
    if not page or page[0].number != number:
        raise NotFound(f"{key!r} in the space {space!r} has no revision {number}.")
    return page[0]


def _diff(scope: Scope, entry: EntryView, other: int) -> list[diffing.Line]:
    before = _at(scope, entry.space, entry.key, other)
    return diffing.compare(before.text, entry.text)


def _cited(request: HttpRequest, text: str) -> Cited | None:
    start, end = _number(request, "start"), _number(request, "end")
    if start is None or end is None or not start < end <= len(text):
        return None
    return Cited(before=text[:start], marked=text[start:end], after=text[end:])


def _rendered(request: HttpRequest, entry: EntryView) -> SafeString | None:
    """Markdown as a page; HTML inside it stays text, and pictures stay out."""
    if not entry.key.lower().endswith((".md", ".markdown")) or "plain" in request.GET:
        return None
    return marking.render_file(entry.text[:_MOST_SHOWN])


def _metadata(entry: EntryView) -> list[tuple[str, str]]:
    """By name; a text as it is, any other value as JSON."""
    return [
        (name, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))
        for name, value in sorted(entry.metadata.items())
    ]


def _number(request: HttpRequest, name: str) -> int | None:
    text = request.GET.get(name, "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else None
