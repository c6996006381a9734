"""Octavo's own numbers for Prometheus. Labels come from small sets: never ids, never text.

Counters live in this process, or in the files of PROMETHEUS_MULTIPROC_DIR when the processes of
one machine, or containers, share them; gauges are read from their owner whenever somebody scrapes.
"""

import logging
import os
import socket
from collections.abc import Callable, Iterator
from decimal import Decimal

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Histogram,
    disable_created_metrics,
    generate_latest,
    values,
)
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

log = logging.getLogger(__name__)

# Without them: a second series beside every counter that nobody reads.
disable_created_metrics()  # type: ignore[no-untyped-call]
if os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
    values.ValueClass = values.MultiProcessValue(  # type: ignore[no-untyped-call]
        lambda: f"{socket.gethostname()}-{os.getpid()}"  # two containers have the same ids
    )
_registry = CollectorRegistry()
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)

_model_calls = Counter(
    "octavo_model_calls",
    "Model calls that were settled.",
    ["kind", "provider", "model", "status"],
    registry=_registry,
)
_model_tokens = Counter(
    "octavo_model_tokens",
    "Tokens of settled model calls.",
    ["provider", "model", "direction"],
    registry=_registry,
)
_model_cost = Counter(
    "octavo_model_cost_usd",
    "Cost of settled model calls in USD.",
    ["provider", "model"],
    registry=_registry,
)
_model_seconds = Histogram(
    "octavo_model_call_seconds",
    "Duration of model calls, retries included.",
    ["kind", "provider"],
    buckets=_SECONDS,
    registry=_registry,
)
_http_requests = Counter(
    "octavo_http_requests",
    "HTTP requests answered; `route` is the URL pattern.",
    ["method", "route", "status"],
    registry=_registry,
)
_http_seconds = Histogram(
    "octavo_http_request_seconds",
    "Time until an HTTP request was answered.",
    ["method", "route"],
    buckets=_SECONDS,
    registry=_registry,
)
_runs_finished = Counter("octavo_runs_finished", "Runs that ended.", ["status"], registry=_registry)


class _Gauges(Collector):
    """Read at scrape time; one that cannot be read is left out of this scrape and logged."""

    def __init__(self) -> None:
        self._readers: dict[str, tuple[str, Callable[[], float]]] = {}

    def add(self, name: str, description: str, read: Callable[[], float]) -> None:
        self._readers[name] = (description, read)

    def collect(self) -> Iterator[GaugeMetricFamily]:
        for name, (description, read) in self._readers.items():
            try:
                value = read()
            except Exception as error:  # noqa: BLE001  one broken gauge must not hide the others
                log.warning("The gauge %s could not be read: %s", name, error)
                continue
            yield GaugeMetricFamily(name, description, value=value)


_gauges = _Gauges()


def register_gauge(*, name: str, description: str, read: Callable[[], float]) -> None:
    """Expose `read()` as the gauge `octavo_<name>`; an upper layer calls this in `ready()`.

    `read` runs on every scrape, with a database connection at hand, and must be quick.
    """
    _gauges.add(f"octavo_{name}", description, read)


def count_model_call(
    *,
    provider: str,
    model: str,
    kind: str,
    status: str,
    input_tokens: int,
    output_tokens: int,
    cost_usd: Decimal,
    seconds: float,
) -> None:
    _model_calls.labels(kind, provider, model, status).inc()
    _model_tokens.labels(provider, model, "input").inc(input_tokens)
    _model_tokens.labels(provider, model, "output").inc(output_tokens)
    _model_cost.labels(provider, model).inc(float(cost_usd))
    _model_seconds.labels(kind, provider).observe(seconds)


def count_http_request(*, method: str, route: str, status: int, seconds: float) -> None:
    """`route` is the URL pattern that matched, or "unmatched": never the path itself."""
    _http_requests.labels(method, route, str(status)).inc()
    _http_seconds.labels(method, route).observe(seconds)


def count_finished_run(*, status: str) -> None:
    _runs_finished.labels(status).inc()


def render() -> bytes:
    """Everything in the Prometheus text format 0.0.4 (`text/plain; version=0.0.4`)."""
    live = CollectorRegistry()
    live.register(_gauges)
    ProcessCollector(registry=live)
    counted = _registry
    if os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
        counted = CollectorRegistry()
        MultiProcessCollector(counted)  # type: ignore[no-untyped-call]
    return bytes(generate_latest(counted)) + bytes(generate_latest(live))
