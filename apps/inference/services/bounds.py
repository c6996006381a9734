"""The most that a chat call can use: no tokenizer and no form of the prompt exceeds it."""

from typing import Any

import orjson

from apps.inference.adapters.chat_codec import output_limit
from apps.inference.services import tool_calling
from apps.inference.types import ProtocolBody, TokenUsage
from apps.model_registry.types import RouteView

_TOOLS_OVERHEAD = 512  # tokens that a chat template adds at most for any tools
_TOKENS_AN_IMAGE = 50_000  # above what any vendor charges for the largest one


def worst_case(body: ProtocolBody, view: RouteView) -> TokenUsage:
    """Each byte of the prompt's JSON is a token at most; an image counts as an image.

    Where the body does not bound the answer, the context window of the models does.
    """
    most = output_limit(body)
    if most is None:
        window = max((target.model.context_window for target in view.targets), default=0)
        most = window * int(body.get("n") or 1)
    return TokenUsage(input_tokens=_most_input(body, view), output_tokens=most)


def _most_input(body: ProtocolBody, view: RouteView) -> int:
    forms = [body]
    if body.get("tools") or not all(target.model.native_tools for target in view.targets):
        forms.append(tool_calling.constrain(body))
    images = [orjson.dumps(part) for part in _parts(body) if part.get("type") == "image_url"]
    text = max(len(orjson.dumps(form)) for form in forms) - sum(map(len, images))
    overhead = _TOOLS_OVERHEAD if body.get("tools") else 0
    return text + overhead + _TOKENS_AN_IMAGE * len(images)


def _parts(body: ProtocolBody) -> list[dict[str, Any]]:
    contents = [message.get("content") for message in body["messages"]]
    return [part for content in contents if isinstance(content, list) for part in content]
