"""The kernel is a Django app: the outbox and idempotency keys live in the caller's transaction."""

from django.apps import AppConfig


class KernelConfig(AppConfig):
    name = "octavo.kernel"
    label = "kernel"
