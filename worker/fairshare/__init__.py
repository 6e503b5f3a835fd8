"""The fair-share Kombu transport: knows Redis and Kombu only."""

from worker.fairshare.transport import register

__all__ = ["register"]
