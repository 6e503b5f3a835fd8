"""Acknowledge tasks that fail inside Celery itself, outside their own code."""

from typing import Any

from celery import signals


@signals.task_internal_error.connect
def end_task(task_id: str, **_: object) -> None:
    """Acknowledge the task as Celery does in its prefork pool; in the other pools it forgets to.

    Such as when the result cannot be stored: without this the job stays leased, and its slot taken, for
    ``longest_run_ms``. In a child of the prefork pool there is no request, and nothing is done.
    """
    from celery.worker import state  # noqa: PLC0415 - only a worker needs it

    request: Any = state.requests.get(task_id)
    if request is not None and request.task.acks_late:
        request.acknowledge()
