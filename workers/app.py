"""Celery as a carrier of disposable hints: what must not be lost is in PostgreSQL.

Acknowledged early, no results, no countdowns: a lost message costs seconds, a repeated one nothing.
"""

import os
from typing import Any

import celery
import django
from django.apps import apps
from django.conf import settings
from django.db import connections

_EDGES = frozenset(
    {
        "apps.api",
        "apps.console",
        "unfold.apps.BasicAppConfig",
        "django.contrib.admin",
        "django.contrib.staticfiles",
        "rest_framework",
        "drf_spectacular",
        "drf_spectacular_sidecar",
    }
)

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "octavo.settings")
os.environ.setdefault("CELERY_SKIP_CHECKS", "1")  # they load every address of the web process
if not apps.ready:  # a worker answers no requests: what only that needs stays out of its memory
    settings.INSTALLED_APPS = [name for name in settings.INSTALLED_APPS if name not in _EDGES]
    django.setup()

_SPARE_CONNECTIONS = 32


class Job(celery.Task):  # type: ignore[misc]
    """Gives the thread's database connection back when the job ends."""

    abstract = True

    def __call__(self, *args: Any, **arguments: Any) -> Any:
        try:
            return super().__call__(*args, **arguments)
        finally:
            connections.close_all()


def _broker_url(redis_url: str) -> str:
    """kombu has its own name for Redis over a Unix socket."""
    return redis_url.replace("unix://", "redis+socket://", 1)


app = celery.Celery(
    "octavo",
    broker=_broker_url(settings.REDIS_URL),
    task_cls=Job,
    include=["workers.tasks.orchestration", "workers.tasks.context", "workers.lifecycle"],
)
app.conf.update(
    worker_pool="threads",
    worker_concurrency=settings.WORKER_THREADS,
    worker_prefetch_multiplier=1,
    worker_hijack_root_logger=False,
    worker_redirect_stdouts=False,
    worker_enable_remote_control=False,
    worker_send_task_events=False,
    task_acks_late=False,
    task_ignore_result=True,
    task_store_errors_even_if_ignored=False,
    task_serializer="json",
    accept_content=["json"],
    task_default_queue="control",
    task_routes={"orchestration.*": {"queue": "runs"}, "context.*": {"queue": "ingest"}},
    task_publish_retry=False,
    broker_connection_retry_on_startup=True,
    broker_connection_max_retries=None,
    broker_transport_options={
        "max_connections": settings.WORKER_THREADS + _SPARE_CONNECTIONS,
        "socket_timeout": 10,
        "socket_connect_timeout": 5,
        "socket_keepalive": True,
        "health_check_interval": 15,
    },
)
