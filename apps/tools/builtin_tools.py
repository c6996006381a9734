"""The tools of this layer itself: fetching a page of the public web."""

from apps.tools.adapters import web
from apps.tools.types import BuiltinTool, Effect, Risk, Trust

TOOLS = (
    BuiltinTool(
        name="http_get",
        description=(
            "Fetch one http:// or https:// address with GET and return its text: web pages as "
            "readable text, JSON and plain text as they are. Other kinds of content are only "
            "described. Nothing is sent but the address and the headers given."
        ),
        input_schema={
            "type": "object",
            "properties": {
                "url": {"type": "string", "maxLength": 4000, "description": "The whole address."},
                "headers": {
                    "type": "object",
                    "additionalProperties": {"type": "string", "maxLength": 1000},
                    "maxProperties": 20,
                    "description": "Further request headers; no Authorization, Cookie or Host.",
                },
                "max_bytes": {
                    "type": "integer",
                    "minimum": 1,
                    "maximum": web.MOST_BYTES,
                    "default": web.USUAL_BYTES,
                    "description": "How much of the answer to read.",
                },
            },
            "required": ["url"],
            "additionalProperties": False,
        },
        risk=Risk.READ,
        egress=True,
        effect=Effect.PURE,
        trust=Trust.UNTRUSTED,
        timeout=web.TIMEOUT,
        send=web.http_get,
    ),
)
