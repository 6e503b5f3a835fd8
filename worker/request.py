"""How Celery describes a task that a worker has."""

from typing import Any

from celery.worker.request import Request


class PointerRequest(Request):
    """Shows of its arguments what stands in `argsrepr`: not the pointer's signature."""

    def info(self, safe: bool = False) -> Any:  # noqa: ARG002, FBT001, FBT002 - Celery's signature
        """Describe the task to whoever inspects the worker."""
        return super().info(safe=True)
