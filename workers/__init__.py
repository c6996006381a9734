"""The background processes: Celery carries hints, threads beside it keep runs alive.

`celery -A workers worker` finds `app` here.
"""

from workers.app import app

__all__ = ["app"]
