"""Tools of a small shop, for the story that the browser tests tell. One of them moves money."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from django.apps import AppConfig

from apps.tools.types import BuiltinTool, Effect, Risk, ToolContext, ToolResult, Trust


def _schema(**properties: str) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {name: {"type": kind} for name, kind in properties.items()},
        "required": list(properties),
        "additionalProperties": False,
    }


def _look_up(context: ToolContext, arguments: Mapping[str, Any]) -> ToolResult:
    time.sleep(0.3)
    order = {"order": arguments["order"], "customer": "cus_9x", "paid": 480.0, "photo": "damaged"}
    return ToolResult(text=f"{order}", structured=order, trust=Trust.TRUSTED)


def _score(context: ToolContext, arguments: Mapping[str, Any]) -> ToolResult:
    time.sleep(0.2)
    return ToolResult(text="risk 0.04: low", structured={"risk": 0.04}, trust=Trust.TRUSTED)


def _refund(context: ToolContext, arguments: Mapping[str, Any]) -> ToolResult:
    text = f"Refunded {arguments['amount']} {arguments['currency']}."
    return ToolResult(text=text, trust=Trust.TRUSTED)


TOOLS = (
    BuiltinTool(
        name="orders_lookup",
        description="Find an order by its number: customer, amount, what was reported.",
        input_schema=_schema(order="string"),
        handler=_look_up,
        risk=Risk.READ,
        effect=Effect.PURE,
        egress=False,
    ),
    BuiltinTool(
        name="risk_score",
        description="How likely a refund to this customer is fraud, 0 to 1.",
        input_schema=_schema(customer="string"),
        handler=_score,
        risk=Risk.READ,
        effect=Effect.PURE,
        egress=False,
    ),
    BuiltinTool(
        name="refund_issue",
        description="Pay money back to the customer. It cannot be taken back.",
        input_schema=_schema(charge="string", amount="number", currency="string", reason="string"),
        handler=_refund,
        risk=Risk.IRREVERSIBLE,
        effect=Effect.KEYED,
        egress=False,
    ),
)


class ShopConfig(AppConfig):
    name = "tests.e2e"
    label = "shop"
    path = str(Path(__file__).parent)  # the tests are no package: nothing else can tell

    def ready(self) -> None:
        register()


def register() -> None:
    from apps.tools.services.builtins import register_builtin

    for tool in TOOLS:
        register_builtin(tool)
