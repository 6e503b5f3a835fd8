"""A task as Flower remembers it: whose it is and which job, and nothing of what it was told or said."""

import re
from collections.abc import Mapping
from typing import Any

from celery import states
from celery.events.state import Task

IDENTITY = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
ERROR_NAME = re.compile(r"[A-Za-z_][\w.]*")
UNTOLD = frozenset({"args", "kwargs", "result", "traceback"})
"""Fields of events that may carry what is nobody's business here: a signature, a payload, a result."""


class PointerTask(Task):
    """A task of which only the pointer is kept, in memory and on disk.

    Organization and job also stand in `kwargs`, which is where Flower's search looks: ``kwargs:job=<id>``.
    """

    _fields = (*Task._fields, "organization", "organization_name", "job")  # type: ignore[attr-defined] # the stubs lack it
    merge_rules = {  # noqa: RUF012 - as Celery has it
        states.RECEIVED: (*Task.merge_rules[states.RECEIVED], "organization", "job")
    }
    organization: str | None = None
    organization_name: str | None = None
    """Filled in when it is shown."""
    job: str | None = None

    def event(  # type: ignore[override] # it passes on what only Celery gives
        self,
        type_: str,
        timestamp: float | None = None,
        local_received: float | None = None,
        fields: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> None:
        """Learn from an event what may be known."""
        super().event(type_, timestamp, local_received, clean(self.uuid, fields or {}), **options)


def clean(uuid: str, fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a task's event without those that may tell too much."""
    kept = {name: value for name, value in fields.items() if name not in UNTOLD}
    if "exception" in kept:
        kept["exception"] = _error_name(kept["exception"])
    if "args" not in fields:
        return kept
    return kept | {"args": "", "kwargs": ""} | _pointer(uuid, str(fields["args"]))


def _pointer(uuid: str, args: str) -> dict[str, Any]:
    organization, job = IDENTITY.search(args), IDENTITY.match(uuid)
    if organization is None or job is None:
        return {}
    told = {"organization": organization[0], "job": job[0]}
    return told | {"kwargs": repr(told)}


def _error_name(exception: Any) -> str:
    name = ERROR_NAME.match(str(exception))
    return name[0] if name else ""
