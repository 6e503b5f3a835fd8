"""What a test or the demo asks of the stand-in: accounts, faults, limits, what was published."""

import time
from typing import Annotated, Any, Literal

from fastapi import APIRouter, HTTPException, Request
from pydantic import BaseModel, Field

from ops.stand_in.fault import Fault, FaultKind, Operation
from ops.stand_in.world import LIVES, Account, Sort, Status, Window, World

router = APIRouter(prefix="/admin")

Platform = Literal["bluesky", "mastodon", "x", "linkedin", "facebook", "instagram", "threads"]


class NewAccount(BaseModel):
    platform: Platform
    handle: str
    password: str = "stand-in-password"  # noqa: S105 - loopback, in memory
    sort: Sort = "organization"
    """LinkedIn: a person's posts cannot be read back."""
    token_seconds: Annotated[float, Field(ge=0)] | None = None
    """Life of the access token issued here; None is the platform's own."""


class Grant(BaseModel):
    """An account and a pair of tokens for it."""

    platform: Platform
    handle: str
    identifier: str
    access_token: str
    refresh_token: str | None
    """None where nothing refreshes the access token; where it refreshes itself, the same."""
    expires_at: float


class NewFault(BaseModel):
    platform: Platform
    operation: Operation = "publish"
    kind: FaultKind
    handle: str | None = None
    times: Annotated[int, Field(ge=1)] = 1
    seconds: Annotated[float, Field(ge=0)] = 1.0


class AccountChange(BaseModel):
    status: Status | None = None
    expire_tokens: bool = False
    points: int | None = None
    window_seconds: float = 3_600.0


class Published(BaseModel):
    key: str
    text: str
    created_at: float
    media: list[dict[str, Any]]
    """As the platform keeps them: type, alt text, address."""


class AccountState(BaseModel):
    handle: str
    identifier: str
    status: Status
    calls: dict[str, int]
    records: list[Published]


class Behaviour(BaseModel):
    token_seconds: float | None = None
    honours_idempotency: bool | None = None
    processing_seconds: float | None = None
    listing_seconds: float | None = None
    unreadable: set[Platform] | None = None


def _world(request: Request) -> World:
    world: World = request.app.state.world
    return world


def _account(request: Request, platform: str, handle: str) -> Account:
    account = _world(request).accounts.get((platform, handle))
    if account is None:
        raise HTTPException(404, f"no account {handle} on {platform}")
    return account


@router.post("/accounts")
async def add_account(request: Request, new: NewAccount) -> Grant:
    """Create an account, or log in to the one that exists."""
    world = _world(request)
    account = world.add_account(new.platform, new.handle, new.password, new.sort)
    usual = LIVES.get(new.platform, world.token_seconds)
    ttl = usual if new.token_seconds is None else new.token_seconds
    access, refresh = account.grant(ttl)
    return Grant(
        platform=new.platform,
        handle=account.handle,
        identifier=account.identifier,
        access_token=access,
        refresh_token={"facebook": None, "instagram": access, "threads": access}.get(new.platform, refresh),
        expires_at=time.time() + ttl,
    )


@router.get("/accounts/{platform}/{handle}")
async def read_account(request: Request, platform: Platform, handle: str) -> AccountState:
    """Answer everything that an account published, oldest first."""
    account = _account(request, platform, handle)
    records = [
        Published(
            key=record.key,
            text=str(record.value.get("text", "")),
            created_at=record.created_at,
            media=record.media,
        )
        for record in account.records.values()
    ]
    return AccountState(
        handle=account.handle,
        identifier=account.identifier,
        status=account.status,
        calls=dict(account.calls),
        records=records,
    )


@router.patch("/accounts/{platform}/{handle}", status_code=204)
async def change_account(request: Request, platform: Platform, handle: str, change: AccountChange) -> None:
    """Take an account down, expire its access tokens, or narrow its rate limit."""
    account = _account(request, platform, handle)
    if change.status is not None:
        account.status = change.status
    if change.expire_tokens:
        account.access = dict.fromkeys(account.access, 0.0)
    if change.points is not None:
        account.window = Window(change.points, change.window_seconds)


@router.patch("/behaviour", status_code=204)
async def change_behaviour(request: Request, change: Behaviour) -> None:
    """Change how the whole server behaves."""
    world = _world(request)
    if change.token_seconds is not None:
        world.token_seconds = change.token_seconds
    if change.honours_idempotency is not None:
        world.honours_idempotency = change.honours_idempotency
    if change.processing_seconds is not None:
        world.processing_seconds = change.processing_seconds
    if change.listing_seconds is not None:
        world.listing_seconds = change.listing_seconds
    if change.unreadable is not None:
        world.unreadable = set(change.unreadable)


@router.post("/faults", status_code=204)
async def add_fault(request: Request, new: NewFault) -> None:
    """Plant a fault behind those already planted."""
    _world(request).faults.append(Fault(**new.model_dump()))


@router.delete("/faults", status_code=204)
async def clear_faults(request: Request) -> None:
    """Remove every planted fault."""
    _world(request).faults.clear()
