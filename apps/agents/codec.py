"""A definition as stored JSON and back. Stored versions stay readable for ever."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from apps.agents.types import Access, Definition, Limits, SpaceGrant, Strategy, WhenStuck


def to_json(definition: Definition) -> dict[str, Any]:
    limits = definition.limits
    return {
        "instructions": definition.instructions,
        "route": definition.route,
        "tools": list(definition.tools),
        "spaces": [{"space": grant.space, "access": grant.access} for grant in definition.spaces],
        "strategy": definition.strategy,
        "output_schema": definition.output_schema,
        "limits": {
            "max_steps": limits.max_steps,
            "max_tokens": limits.max_tokens,
            "max_cost_usd": None if limits.max_cost_usd is None else str(limits.max_cost_usd),
            "deadline_seconds": limits.deadline_seconds,
        },
        "when_stuck": definition.when_stuck,
        "remember": definition.remember,
    }


def from_json(stored: Mapping[str, Any]) -> Definition:
    limits = stored["limits"]
    cost = limits["max_cost_usd"]
    return Definition(
        instructions=stored["instructions"],
        route=stored["route"],
        tools=tuple(stored["tools"]),
        spaces=tuple(
            SpaceGrant(space=grant["space"], access=Access(grant["access"]))
            for grant in stored["spaces"]
        ),
        strategy=Strategy(stored["strategy"]),
        output_schema=stored["output_schema"],
        limits=Limits(
            max_steps=limits["max_steps"],
            max_tokens=limits["max_tokens"],
            max_cost_usd=None if cost is None else Decimal(cost),
            deadline_seconds=limits["deadline_seconds"],
        ),
        when_stuck=WhenStuck(stored.get("when_stuck", WhenStuck.FAIL)),
        remember=stored.get("remember", ""),
    )
