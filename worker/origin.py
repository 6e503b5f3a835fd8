"""Where the message of a job comes from: what logs, metrics and traces of its attempt want to know of it."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple, Self
from uuid import UUID

HEADER = "genius"
"""Of a message. A worker of a version that does not know it leaves it alone."""


class Origin(NamedTuple):
    """What a message tells beside its pointer. Nothing of it decides what happens to the job."""

    plan: str = "unknown"
    ready_at: float | None = None
    """When the job might have begun, Unix seconds."""
    request_id: str | None = None
    traceparent: str | None = None
    """The span that every attempt of the job belongs to (W3C Trace Context)."""

    @classmethod
    def of(cls, headers: Any) -> Self:
        """Read the headers of a message, or a task's request; what it does not tell is unknown."""
        match headers.get(HEADER):
            case [str(plan), float() | int() | None as at, str() | None as request, str() | None as parent]:
                return cls(plan, at, request, parent)
        return cls()

    def trail(self) -> dict[str, str | None]:
        """Return what the next message of the same job tells too."""
        return {"request_id": self.request_id, "traceparent": self.traceparent}

    def log_fields(self) -> dict[str, str]:
        """Return what every log line of the attempt carries."""
        return {} if self.request_id is None else {"request_id": self.request_id}


NOWHERE = Origin()
_in_hand: dict[str, Origin] = {}
"""By job: one thread may run several, and several threads run at once."""


def origin_of(job_id: UUID) -> Origin:
    """Return where a job that this process runs came from."""
    return _in_hand.get(str(job_id), NOWHERE)


@contextmanager
def coming_from(origins: Mapping[str, Origin]) -> Iterator[None]:
    """Know where jobs came from while the block runs."""
    _in_hand.update(origins)
    try:
        yield
    finally:
        for job_id in origins:
            _in_hand.pop(job_id, None)
