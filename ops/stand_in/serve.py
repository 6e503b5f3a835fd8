"""One call as every platform serves it: whose token, which fault strikes, is there room, then the work."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from fastapi import Request, Response

from ops.stand_in.fault import Fault, FaultKind, after_work, before_work
from ops.stand_in.world import Account, World

Work = Callable[[World, Account], Response]


@dataclass(frozen=True, slots=True)
class Manner:
    """How a platform refuses."""

    platform: str
    unknown_token: Callable[[], Response]
    refuse: Callable[[FaultKind, Account, float], Response | None]
    """Answer as if the fault had a cause; the last argument is the moment a rate limit ends."""

    def strike(self, fault: Fault | None, request: Request, account: Account) -> Response | None:
        """Return what *fault* answers instead of working, or None."""
        if fault is None:
            return None
        if fault.kind is FaultKind.TAKEDOWN:
            account.status = "takendown"
        answer = self.refuse(fault.kind, account, time.time() + fault.seconds)
        return before_work(fault, request) if answer is None else answer


async def serve(  # noqa: PLR0913 - what a call consists of
    request: Request,
    manner: Manner,
    operation: str,
    work: Work,
    *,
    points: int = 0,
    account: Account | None = None,
) -> Response:
    """Serve one call.

    Args:
        request: Carries the token.
        manner: How the platform refuses.
        operation: Its name for counters and faults.
        work: What to do and answer.
        points: What it costs of the account's window.
        account: Whose call it is, where no token says so.
    """
    world: World = request.app.state.world
    if account is None:
        found = _holder(world, manner, request)
        if isinstance(found, Response):
            return found
        account = found
    account.calls[operation] += 1
    fault = world.strike(manner.platform, operation, account.handle)
    refused = manner.strike(fault, request, account)
    if refused is None and account.status != "active":
        refused = manner.refuse(FaultKind.TAKEDOWN, account, 0)
    if refused is None and points and not account.window.take(points):
        refused = manner.refuse(FaultKind.RATE_LIMIT, account, account.window.resets_at)
    return await after_work(fault, request, work(world, account)) if refused is None else refused


def _holder(world: World, manner: Manner, request: Request) -> Account | Response:
    token = request.headers.get("authorization", "").removeprefix("Bearer ")
    account = world.holder(manner.platform, token)
    if account is None:
        return manner.unknown_token()
    if account.access[token] > time.time():
        return account
    return manner.refuse(FaultKind.EXPIRED_TOKEN, account, 0) or manner.unknown_token()
