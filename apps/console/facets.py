"""What the address of the list of runs asks for; anything it cannot mean is left out."""

from dataclasses import dataclass, fields
from datetime import timedelta
from decimal import Decimal, InvalidOperation
from urllib.parse import urlencode

from django.http import QueryDict

from apps.orchestration.types.runs import RunStatus
from apps.orchestration.types.serving import RunFilter
from octavo.kernel import clock

SPANS = {"hour": timedelta(hours=1), "day": timedelta(days=1), "week": timedelta(days=7)}
STATUSES = list(RunStatus)


@dataclass(frozen=True, slots=True, kw_only=True)
class Facets:
    """As the address has them: `meta` is `key=value`, `cost` the least cost in USD."""

    status: str = ""
    agent: str = ""
    workflow: str = ""
    q: str = ""
    span: str = ""
    tag: str = ""
    meta: str = ""
    cost: str = ""
    error: str = ""
    session: str = ""
    trigger: str = ""

    @classmethod
    def of(cls, asked: QueryDict) -> "Facets":
        given = {f.name: asked.get(f.name, "").replace("\0", "").strip()[:200] for f in fields(cls)}
        known = {
            "status": given["status"] in STATUSES,
            "span": given["span"] in SPANS,
            "meta": "=" in given["meta"],
            "cost": _cost(given["cost"]) is not None,
        }
        return cls(**{name: value for name, value in given.items() if known.get(name, True)})

    def address(self, **more: str) -> str:
        given = {f.name: getattr(self, f.name) for f in fields(self)}
        return urlencode({name: value for name, value in {**given, **more}.items() if value})

    @property
    def hidden(self) -> dict[str, str]:
        """What a form has to carry along."""
        given = {f.name: getattr(self, f.name) for f in fields(self)}
        return {name: value for name, value in given.items() if value}

    @property
    def has_more(self) -> bool:
        """Whether one of those is set that the page keeps folded."""
        more = (self.tag, self.meta, self.cost, self.error, self.session, self.trigger)
        return any((*more, self.workflow))

    @property
    def wanted(self) -> RunFilter:
        key, _, value = self.meta.partition("=")
        return RunFilter(
            status=RunStatus(self.status) if self.status else None,
            agent=self.agent,
            workflow=self.workflow,
            text=self.q,
            since=clock.now() - SPANS[self.span] if self.span else None,
            tags=tuple(tag for tag in self.tag.replace(",", " ").split() if tag),
            metadata={key.strip(): value.strip()} if self.meta else {},
            min_cost=_cost(self.cost),
            error=self.error,
            session=self.session,
            triggered_by=self.trigger,
        )


def _cost(text: str) -> Decimal | None:
    try:
        found = Decimal(text)
    except InvalidOperation:
        return None
    return found if found.is_finite() and 0 <= found < 10**9 else None
