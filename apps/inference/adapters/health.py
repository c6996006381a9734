"""Whether a model server answers, how fast, and what vLLM says of its load.

https://docs.vllm.ai/en/latest/usage/metrics.html
"""

import asyncio
import time
from collections.abc import Iterable, Mapping
from typing import Any

import aiohttp
import orjson
from prometheus_client.parser import text_string_to_metric_families

from apps.inference.adapters import failures, http
from apps.inference.types import ProviderHealth, ServerLoad
from apps.model_registry.types import ProviderKind

_MAX_BODY = 4 * 2**20
_RUNNING, _WAITING = "vllm:num_requests_running", "vllm:num_requests_waiting"
_CACHE_USE = ("vllm:kv_cache_usage_perc", "vllm:gpu_cache_usage_perc")  # now, and until 0.10
_ASKED, _HIT = "vllm:prefix_cache_queries_total", "vllm:prefix_cache_hits_total"


async def check(
    *,
    provider: str,
    kind: ProviderKind,
    base_url: str,
    api_key: str,
    timeout: float,  # noqa: ASYNC109  it is the requests' own
) -> ProviderHealth:
    """`GET {base_url}/models`; of vLLM also its version and metrics. Raises nothing."""
    began = time.monotonic()
    problem, listing = await _list(base_url, api_key, timeout)
    latency = round((time.monotonic() - began) * 1000)
    if problem or kind is not ProviderKind.VLLM:
        version, load = "", None
    else:
        root = base_url.removesuffix("/v1")
        version, load = await asyncio.gather(
            _version(f"{root}/version", timeout), _load(f"{root}/metrics", timeout)
        )
    return ProviderHealth(
        provider=provider,
        latency_ms=latency,
        problem=problem,
        models=_names(listing),
        version=version,
        load=load,
    )


async def _list(base_url: str, api_key: str, seconds: float) -> tuple[str, Any]:
    """What is wrong, and the listing."""
    headers = {"Authorization": f"Bearer {api_key}", "x-api-key": api_key} if api_key else {}
    try:
        status, body = await _get(f"{base_url}/models", headers, seconds)
    except TimeoutError:
        return f"no answer within {seconds:g} s", None
    except (aiohttp.ClientError, OSError, ValueError) as error:
        return failures.said(str(error), api_key) or type(error).__name__, None
    if status in {401, 403}:
        return f"it {'refuses its' if api_key else 'asks for an'} API key (HTTP {status})", None
    if status != 200:
        return f"GET {base_url}/models answers HTTP {status}", None
    try:
        return "", orjson.loads(body)
    except orjson.JSONDecodeError:
        return f"GET {base_url}/models does not answer JSON; base_url ends with …/v1", None


def _names(listing: Any) -> tuple[str, ...]:
    rows = listing.get("data") if isinstance(listing, Mapping) else None
    return tuple(
        str(row["id"]).removeprefix("models/")
        for row in (rows if isinstance(rows, list) else ())
        if isinstance(row, Mapping) and row.get("id")
    )


async def _version(url: str, seconds: float) -> str:
    found = await _quietly(url, seconds)
    try:
        said: Any = orjson.loads(found)
    except orjson.JSONDecodeError:
        return ""
    return str(said.get("version") or "") if isinstance(said, Mapping) else ""


async def _load(url: str, seconds: float) -> ServerLoad | None:
    return read_load((await _quietly(url, seconds)).decode(errors="replace"))


def read_load(exposition: str) -> ServerLoad | None:
    """vLLM's metrics in the Prometheus text format, summed over its engines; None without any."""
    values: dict[str, list[float]] = {}
    try:
        for family in text_string_to_metric_families(exposition):
            for sample in family.samples:
                values.setdefault(sample.name, []).append(sample.value)
    except ValueError:
        return None
    if _RUNNING not in values:
        return None
    uses = [value for name in _CACHE_USE for value in values.get(name, ())]
    asked = sum(values.get(_ASKED, ()))
    return ServerLoad(
        running=_total(values[_RUNNING]),
        waiting=_total(values.get(_WAITING, ())),
        kv_cache_use=max(uses) if uses else None,
        prefix_hit_rate=sum(values.get(_HIT, ())) / asked if asked else None,
    )


def _total(values: Iterable[float]) -> int:
    return int(sum(values))


async def _quietly(url: str, seconds: float) -> bytes:
    try:
        status, body = await _get(url, {}, seconds)
    except (aiohttp.ClientError, OSError, ValueError):
        return b""
    return body if status == 200 else b""


async def _get(url: str, headers: Mapping[str, str], seconds: float) -> tuple[int, bytes]:
    timeout = aiohttp.ClientTimeout(total=seconds)
    async with http.session().get(
        url, headers=headers, timeout=timeout, allow_redirects=False
    ) as response:
        return response.status, await http.read(response, limit=_MAX_BODY)
