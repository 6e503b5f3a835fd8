"""Faults that a test or the demo plants, and the acts by which the server commits them."""

import asyncio
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal

from fastapi import Request, Response


class FaultKind(StrEnum):
    """What goes wrong."""

    DROP_BEFORE = "drop_before"
    """Close the connection before anything happens."""
    DROP_AFTER = "drop_after"
    """Do the work, then close the connection without a byte of answer."""
    SLOW = "slow"
    """Do the work, then answer after a delay."""
    RATE_LIMIT = "rate_limit"
    """Answer 429 and do nothing."""
    SERVER_ERROR = "server_error"
    """Answer 502 and do nothing."""
    SERVER_ERROR_AFTER = "server_error_after"
    """Do the work, then answer 502."""
    EXPIRED_TOKEN = "expired_token"  # noqa: S105 - the name of a fault
    """Answer that the access token has expired."""
    TAKEDOWN = "takedown"
    """Answer that the account was taken down."""
    GARBLED = "garbled"
    """Do the work, then answer 200 with something that is not JSON."""
    MOVED = "moved"
    """Answer a redirection and do nothing."""
    REVOKED = "revoked"
    """Answer that the account's owner has taken the permission back."""
    REFUSED = "refused"
    """Answer that the content is not acceptable."""
    DUPLICATE = "duplicate"
    """Answer that the same was posted before."""
    STALE = "stale"
    """Answer that the uploaded media, or the container, are no longer good."""


Operation = Literal[
    "*", "publish", "probe", "refresh", "login", "upload", "prepare", "read", "delete", "metrics"
]


@dataclass(slots=True)
class Fault:
    """One planted fault: strikes the next *times* matching calls."""

    platform: str
    operation: str
    """One of `Operation`; `*` is any."""
    kind: FaultKind
    handle: str | None = None
    times: int = 1
    seconds: float = 1.0
    """Delay of `slow`, wait announced by `rate_limit`."""

    def matches(self, platform: str, operation: str, handle: str | None) -> bool:
        """Tell whether this fault strikes the call."""
        return (
            self.times > 0
            and self.platform == platform
            and self.operation in ("*", operation)
            and self.handle in (None, handle)
        )


class Dropped(Response):
    """Close the client's connection without answering."""

    def __init__(self, request: Request) -> None:
        super().__init__()
        # ASGI cannot hang up; the server's request object, which `receive` is bound to, holds the socket.
        self._transport: Any = getattr(request.receive, "__self__").transport  # noqa: B009 - a bound method to mypy

    async def __call__(self, *_: object) -> None:
        self._transport.abort()
        await asyncio.sleep(0)  # lets the server notice, or it complains of a missing answer


def before_work(fault: Fault, request: Request) -> Response | None:
    """Return what a fault that strikes every platform alike answers instead of working, or None."""
    if fault.kind is FaultKind.DROP_BEFORE:
        return Dropped(request)
    if fault.kind is FaultKind.SERVER_ERROR:
        return _bad_gateway()
    if fault.kind is FaultKind.MOVED:
        return Response(status_code=307, headers={"Location": "https://elsewhere.invalid/"})
    return None


def _bad_gateway() -> Response:
    return Response("<h1>502 Bad Gateway</h1>", status_code=502, media_type="text/html")


async def after_work(fault: Fault | None, request: Request, answer: Response) -> Response:
    """Return *answer* as *fault* lets it through."""
    if fault is None:
        return answer
    if fault.kind is FaultKind.DROP_AFTER:
        return Dropped(request)
    if fault.kind is FaultKind.SERVER_ERROR_AFTER:
        return _bad_gateway()
    if fault.kind is FaultKind.GARBLED:
        return Response("<html>ok</html>", media_type="text/html")
    if fault.kind is FaultKind.SLOW:
        await asyncio.sleep(fault.seconds)
    return answer
