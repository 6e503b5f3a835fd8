"""The fair-share Kombu transport: knows Redis and Kombu only."""

from worker.fairshare import failure as _failure  # noqa: F401 - Celery calls it
from worker.fairshare import inherit as _inherit  # noqa: F401 - likewise
from worker.fairshare.transport import register

__all__ = ["register"]
