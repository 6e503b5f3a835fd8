"""Writes down who did what at Flower, or was not let: Flower itself remembers nothing of it."""

import logging
import re
from typing import Any, Final, Literal

import structlog
from tornado.web import RequestHandler

Outcome = Literal["begun", "done", "failed", "refused"]

EVENT: Final = "flower action"
LONGEST: Final = 200
TOLD: Final = frozenset(
    {"n", "min", "max", "queue", "terminate", "signal", "workername", "soft", "hard", "ratelimit"}
    | {"weight", "kind", "fingerprint"}
)
"""Arguments that say what was done; what a task is sent with may be a payload, and is not among them."""

log = structlog.get_logger(__name__)
logging.getLogger(__name__).setLevel(logging.INFO)  # written whatever the level of the rest


def action_of(pattern: str) -> str:
    """Name what is done at a route: ``/api/worker/pool/grow/(.+)`` is ``worker.pool.grow``."""
    words = re.findall(r"(?<=/)[a-z-]+(?=/|$)", pattern.removesuffix("$"))
    return ".".join(word for word in words if word != "api") or "/"


def record(handler: RequestHandler, action: str, outcome: Outcome, *, actor: str | None) -> None:
    """Write one line. That something begins is written first, for what never ends or ends Flower."""
    request = handler.request
    target = handler.path_args[0][:LONGEST] if handler.path_args else None
    log.info(
        EVENT,
        actor=actor,
        action=action,
        method=request.method,
        target=target,
        organization=_organization(handler, target),
        arguments={
            name: values[-1].decode(errors="replace")[:LONGEST]
            for name, values in request.arguments.items()
            if name in TOLD
        },
        outcome=outcome,
        status=None if outcome == "begun" else handler.get_status(),
        address=request.remote_ip,
    )


def _organization(handler: Any, target: str | None) -> str | None:
    """Return whose task it is, where Flower has seen it."""
    task = handler.application.events.state.tasks.get(target)
    return None if task is None else task.organization
