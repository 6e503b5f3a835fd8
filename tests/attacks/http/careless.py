"""Copies of the intake that are broken on purpose: each lacks one thing that keeps an attack out."""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from starlette.types import ASGIApp, Receive, Scope, Send

from intake.auth import identify
from intake.observe import Observe
from tests.support.two_tenants import World

Wrapped = Callable[[ASGIApp, Scope, Receive, Send], Awaitable[None]]


@contextmanager
def behind(wrapped: Wrapped) -> Iterator[None]:
    """Put something between the server and the intake."""
    sound = Observe.__call__

    async def call(self: Observe, scope: Scope, receive: Receive, send: Send) -> None:
        async def through(scope: Scope, receive: Receive, send: Send) -> None:
            await sound(self, scope, receive, send)

        if scope["type"] == "http":
            await wrapped(through, scope, receive, send)
        else:
            await through(scope, receive, send)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Observe, "__call__", call)
        yield


@contextmanager
def identified(world: World, by: Callable[..., Any]) -> Iterator[None]:
    """Find out by *by* who calls."""
    world.app.dependency_overrides[identify] = by
    try:
        yield
    finally:
        del world.app.dependency_overrides[identify]


async def answer(send: Send, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
    """Answer as a broken intake would."""
    head = [(name.lower().encode(), value.encode("latin-1")) for name, value in (headers or {}).items()]
    await send({"type": "http.response.start", "status": status, "headers": head})
    await send({"type": "http.response.body", "body": body})
