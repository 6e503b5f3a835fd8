"""Let the tasks that a task publishes belong to its tenant."""

from typing import Any

from celery import current_task, signals


@signals.before_task_publish.connect
def pass_tenant_on(headers: dict[str, Any] | None = None, **_: object) -> None:
    """Give a subtask, a chain's next step or a chord's callback its publisher's tenant if it has none."""
    if headers is None or headers.get("tenant") or not current_task:
        return
    tenant = current_task.request.get("tenant")
    if tenant:
        headers["tenant"] = tenant
