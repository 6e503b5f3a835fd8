"""Bounds what a request may cost before anything reads it."""

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from intake.problem import ProblemError, response


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
        most: int = scope["app"].state.settings.max_body_bytes
        declared = Headers(scope=scope).get("content-length", "0")
        if declared.isdecimal() and int(declared) > most:
            problem = BodyTooLargeError(most)
            answer = response(problem, request_id=scope["state"]["request_id"], path=scope["path"])
            await answer(scope, receive, send)
            return
        await self.app(scope, _counted(receive, most), send)


def _counted(receive: Receive, most: int) -> Receive:
    read = 0

    async def counting() -> Message:
        nonlocal read
        message = await receive()
        if message["type"] == "http.request":
            read += len(message.get("body", b""))
            if read > most:
                raise BodyTooLargeError(most)
        return message

    return counting
