"""Figures as people read them: one place, so that a duration looks the same on every page."""

from datetime import datetime, timedelta
from decimal import Decimal

from octavo.kernel import clock


def duration(span: timedelta) -> str:
    """`340 ms`, `2.4 s`, `3 m 05 s`, `2 h 10 m`, `3 d 4 h`."""
    seconds = max(span.total_seconds(), 0.0)
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(int(seconds), 60)
    if minutes < 60:
        return f"{minutes} m {rest:02d} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} m" if hours < 48 else f"{hours // 24} d {hours % 24} h"


def tick(span: timedelta) -> str:
    """A mark on a time axis, short: `0 s`, `850 ms`, `12 s`, `1:06`, `2 h 10`."""
    seconds = max(span.total_seconds(), 0.0)
    if seconds and seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 10:
        return f"{seconds:.1f} s" if seconds else "0 s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 1:
        return f"{rest} s"
    if minutes < 60:
        return f"{minutes}:{rest:02d}"
    return f"{minutes // 60} h {minutes % 60:02d}"


def ago(moment: datetime) -> str:
    seconds = (clock.now() - moment).total_seconds()
    if seconds < 10:
        return "now"
    if seconds < 60:
        return f"{int(seconds)} s ago"
    if seconds < 3600:
        return f"{int(seconds // 60)} min ago"
    if seconds < 86400:
        return f"{int(seconds // 3600)} h ago"
    return f"{int(seconds // 86400)} d ago"


def money(usd: Decimal) -> str:
    """`$0` for nothing, four decimals below a dollar, two above."""
    if not usd:
        return "$0"
    return f"${usd:,.2f}" if usd >= 1 else f"${usd:.4f}"
