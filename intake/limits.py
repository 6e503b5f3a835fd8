"""Bounds what a request may cost before anything reads it."""

from collections.abc import Mapping
from datetime import timedelta

import anyio
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from intake.problem import ProblemError, response

_SETTING_OF: Mapping[str, str] = {
    "/api/v1/leads/import.csv": "max_import_bytes",
    "/api/v1/content/media": "max_media_bytes",
}
"""Paths whose bodies go to a file as they come, and the setting that bounds them."""

DRAINED_FOR = timedelta(seconds=1)
MOST_DRAINED_BYTES = 32 * 1024 * 1024


class BodyTooLargeError(ProblemError):
    """The body passes the cap. The connection closes, since the rest of the body is still coming."""

    def __init__(self, most: int) -> None:
        super().__init__(
            413,
            "body-too-large",
            f"The body may hold {most} bytes at most; send fewer items per request.",
            headers={"Connection": "close"},
            extra={"limit_bytes": most},
        )


class TwoLengthsError(ProblemError):
    """The body says in two ways how long it is. The connection closes: what follows may be part of it."""

    def __init__(self) -> None:
        super().__init__(
            400,
            "two-lengths",
            "Send either Content-Length or Transfer-Encoding: with both, servers disagree where a body ends.",
            headers={"Connection": "close"},
        )


class BodyLimit:
    """Refuses a body over the cap: by its Content-Length before reading, else while it streams in.

    A chunked body has no Content-Length, so only counting holds for it.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        setting = _SETTING_OF.get(scope["path"], "max_body_bytes")
        most: int = getattr(scope["app"].state.settings, setting)
        problem = _refusal(Headers(scope=scope), most)
        if problem is not None:
            await _drain(receive)
            answer = response(problem, request_id=scope["state"]["request_id"], path=scope["path"])
            await answer(scope, receive, send)
            return
        await self.app(scope, _counted(receive, most), send)


def _refusal(headers: Headers, most: int) -> ProblemError | None:
    declared = headers.get("content-length", "0")
    if "content-length" in headers and "transfer-encoding" in headers:
        return TwoLengthsError()
    if declared.isdecimal() and int(declared) > most:
        return BodyTooLargeError(most)
    return None


async def _drain(receive: Receive) -> None:
    """Read on for a moment: closing on a client that still sends would take our answer away from it."""
    drained = 0
    with anyio.move_on_after(DRAINED_FOR.total_seconds()):
        while drained < MOST_DRAINED_BYTES:
            message = await receive()
            drained += len(message.get("body", b""))
            if not message.get("more_body", False):
                return


def _counted(receive: Receive, most: int) -> Receive:
    read = 0

    async def counting() -> Message:
        nonlocal read
        message = await receive()
        if message["type"] == "http.request":
            read += len(message.get("body", b""))
            if read > most:
                await _drain(receive)
                raise BodyTooLargeError(most)
        return message

    return counting
