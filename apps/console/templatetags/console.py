"""How values become HTML: escaped here, so that no template marks anything as safe."""

import json
import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from django import template
from django.templatetags.static import static
from django.utils.html import escape, format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe

from apps.console import formatting, marking
from octavo.kernel import clock, ids

register = template.Library()
_TOKEN = re.compile(
    r'(?P<k>"(?:[^"\\]|\\.)*")(?=\s*:)|(?P<s>"(?:[^"\\]|\\.)*")'
    r"|(?P<n>-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null)"
)


@register.simple_tag
def icon(name: str) -> SafeString:
    """A drawing of `icons.svg`, in the colour of the text around it."""
    return format_html(
        '<svg class="icon" aria-hidden="true"><use href="{}#{}"></use></svg>',
        static("console/icons.svg"),
        name,
    )


@register.simple_tag
def when(moment: datetime | None, empty: str = "never") -> SafeString:
    """Relative time; the absolute one on hover."""
    if moment is None:
        return format_html('<span class="muted">{}</span>', empty)
    return format_html(
        '<time datetime="{}" title="{} UTC" data-ago>{}</time>',
        moment.isoformat(),
        f"{moment:%Y-%m-%d %H:%M:%S}",
        formatting.ago(moment),
    )


@register.simple_tag
def until(moment: datetime) -> SafeString:
    """How much time is left; console.js counts it down in the same words."""
    left = moment - clock.now()
    return format_html(
        '<time class="num" datetime="{}" title="Expires {} UTC" data-until>{}</time>',
        moment.isoformat(),
        f"{moment:%Y-%m-%d %H:%M:%S}",
        f"{formatting.duration(left)} left" if left > timedelta(0) else "expired",
    )


@register.filter
def pretty(value: Any) -> SafeString:
    """JSON with its keys, strings and figures told apart."""
    text = json.dumps(value, indent=2, ensure_ascii=False, default=str)
    parts, end = [], 0
    for found in _TOKEN.finditer(text):
        parts.append(escape(text[end : found.start()]))
        parts.append(format_html('<span class="{}">{}</span>', found.lastgroup, found[0]))
        end = found.end()
    return mark_safe("".join([*parts, escape(text[end:])]))  # noqa: S308  every part is escaped


@register.filter
def markdown(text: str) -> SafeString:
    return marking.render_answer(text)


@register.filter
def money(usd: Decimal | str | None) -> str:
    return formatting.money(Decimal(usd or 0))


@register.filter
def count(value: int) -> str:
    """`23,610`."""
    return f"{value:,}"


@register.filter
def took(span: timedelta) -> str:
    return formatting.duration(span)


@register.filter
def public_id(value: UUID, kind: str) -> str:
    return ids.encode(ids.Kind(kind), value)


@register.filter
def at(values: Mapping[str, Any], name: str) -> Any:
    """The value of that name; nothing where there is none."""
    return values.get(name, "")


@register.simple_tag
def command(text: str) -> SafeString:
    """A line to copy, with its button."""
    return format_html(
        '<div class="command"><pre tabindex="0">{}</pre>'
        '<button class="btn" type="button" data-copy="{}">{}Copy</button></div>',
        text,
        text,
        icon("copy"),
    )


@register.simple_tag
def refused(errors: Mapping[str, str], name: str) -> SafeString:
    """What is wrong with a field, beside it."""
    if name not in errors:
        return SafeString("")
    return format_html_join("", '<p class="refusal" id="{}-error">{}</p>', [(name, errors[name])])
