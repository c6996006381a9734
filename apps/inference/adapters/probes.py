"""Quick looks at model servers: what they serve, or nothing where none answers."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp
import orjson

from apps.inference.adapters import http

_MAX_LISTING = 4 * 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedModel:
    """A line of a server's list of models; what a server does not say is empty."""

    name: str
    owned_by: str = ""
    context_window: int | None = None


async def list_models(
    *,
    base_url: str,
    api_key: str = "",
    timeout: float,  # noqa: ASYNC109  it is the request's own
) -> tuple[ServedModel, ...]:
    """`GET {base_url}/models`; empty when there is no such server."""
    headers = {"Authorization": f"Bearer {api_key}", "x-api-key": api_key} if api_key else {}
    listing = await _get(f"{base_url}/models", headers, timeout)
    rows = listing.get("data")
    return tuple(
        ServedModel(
            name=str(row["id"]).removeprefix("models/"),
            owned_by=str(row.get("owned_by") or ""),
            context_window=_whole(row.get("max_model_len")),
        )
        for row in (rows if isinstance(rows, list) else ())
        if isinstance(row, dict) and row.get("id")
    )


async def list_ollama_models(
    *,
    url: str,
    timeout: float,  # noqa: ASYNC109  it is the request's own
) -> tuple[ServedModel, ...]:
    """The chat models of an Ollama server, the one pulled last first; empty when there is none.

    https://github.com/ollama/ollama/blob/main/docs/api.md#list-local-models
    """
    listing = await _get(f"{url}/api/tags", {}, timeout)
    rows = listing.get("models")
    return tuple(
        ServedModel(name=str(row["name"]))
        for row in (rows if isinstance(rows, list) else ())
        if isinstance(row, dict) and row.get("name") and not _only_embeds(row)
    )


def _only_embeds(row: Mapping[str, Any]) -> bool:
    details = row.get("details")
    family = str(details.get("family") if isinstance(details, dict) else "")
    return "embed" in str(row["name"]) or "bert" in family


def _whole(value: Any) -> int | None:
    return value if isinstance(value, int) and value > 0 else None


async def _get(url: str, headers: Mapping[str, str], seconds: float) -> dict[str, Any]:
    timeout = aiohttp.ClientTimeout(total=seconds)
    try:
        async with http.session().get(
            url, headers=headers, timeout=timeout, allow_redirects=False
        ) as response:
            if response.status != 200:
                return {}
            body: Any = orjson.loads(await http.read(response, limit=_MAX_LISTING))
    except (aiohttp.ClientError, OSError, ValueError):
        return {}
    return body if isinstance(body, dict) else {}
