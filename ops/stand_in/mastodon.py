"""The part of Mastodon's API that posting needs, as a Mastodon server answers it."""

import hashlib
import html
import time
from datetime import UTC, datetime
from typing import Any

import grapheme
from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from ops.stand_in.fault import Fault, FaultKind, after_work, before_work
from ops.stand_in.world import Account, Record, World

CHARACTERS = 500
IDEMPOTENCY_SECONDS = 3_600.0

router = APIRouter(prefix="/mastodon")


def _error(status: int, message: str, headers: dict[str, str] | None = None) -> JSONResponse:
    return JSONResponse({"error": message}, status_code=status, headers=headers)


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _limits(account: Account, resets_at: float | None = None) -> dict[str, str]:
    return {
        "X-RateLimit-Limit": str(account.window.limit),
        "X-RateLimit-Remaining": str(account.window.remaining if resets_at is None else 0),
        "X-RateLimit-Reset": _moment(resets_at or account.window.resets_at),
    }


def _authenticate(world: World, request: Request) -> Account | JSONResponse:
    token = request.headers.get("authorization", "").removeprefix("Bearer ")
    account = world.holder("mastodon", token)
    if account is None or account.access[token] <= time.time():
        return _error(401, "The access token is invalid")
    if account.status != "active":
        return _error(403, "Your login is currently disabled")
    return account


def _before_work(fault: Fault | None, request: Request, account: Account) -> Response | None:
    """Return what *fault* answers instead of working, or None."""
    if fault is None:
        return None
    if fault.kind is FaultKind.TAKEDOWN:
        account.status = "takendown"
        return _error(403, "Your login is currently disabled")
    if fault.kind is FaultKind.RATE_LIMIT:
        return _error(429, "Too many requests", _limits(account, time.time() + fault.seconds))
    if fault.kind is FaultKind.EXPIRED_TOKEN:
        return _error(401, "The access token is invalid")
    return before_work(fault, request)


def _status(request: Request, account: Account, record: Record) -> dict[str, Any]:
    url = f"{request.base_url}mastodon/@{account.handle}/{record.key}"
    return {
        "id": record.key,
        "created_at": _moment(record.created_at),
        "visibility": record.value["visibility"],
        "uri": url,
        "url": url,
        "content": f"<p>{html.escape(record.value['status'])}</p>",
        "account": {"id": account.identifier, "username": account.handle, "acct": account.handle},
    }


@router.get("/api/v2/instance")
async def instance() -> JSONResponse:
    """Describe the server and its limits."""
    statuses = {"max_characters": CHARACTERS, "max_media_attachments": 4, "characters_reserved_per_url": 23}
    return JSONResponse({"title": "stand-in", "version": "4.4.0", "configuration": {"statuses": statuses}})


@router.get("/api/v1/accounts/verify_credentials")
async def verify_credentials(request: Request) -> Response:
    """Say whose token this is."""
    account = _authenticate(request.app.state.world, request)
    if isinstance(account, JSONResponse):
        return account
    return JSONResponse({"id": account.identifier, "username": account.handle, "acct": account.handle})


@router.post("/api/v1/statuses")
async def publish(request: Request) -> Response:
    """Publish a status; the same Idempotency-Key within an hour answers the first one."""
    world: World = request.app.state.world
    account = _authenticate(world, request)
    if isinstance(account, JSONResponse):
        return account
    account.calls["publish"] += 1
    fault = world.strike("mastodon", "publish", account.handle)
    refused = _before_work(fault, request, account)
    if refused is not None:
        return refused
    body = await request.json()
    key = request.headers.get("idempotency-key") if world.honours_idempotency else None
    return await after_work(fault, request, _write(request, world, account, body=body, key=key))


def _write(
    request: Request, world: World, account: Account, *, body: dict[str, Any], key: str | None
) -> JSONResponse:
    text = body.get("status") or ""
    if not text:
        return _error(422, "Validation failed: Text can't be blank")
    if grapheme.length(text) > CHARACTERS:
        return _error(422, f"Validation failed: Text character limit of {CHARACTERS} exceeded")
    if not account.window.take(1):
        return _error(429, "Too many requests", _limits(account))
    used_at, known = account.idempotency.get(key or "", (0.0, ""))
    if time.time() - used_at < IDEMPOTENCY_SECONDS and known in account.records:
        return JSONResponse(_status(request, account, account.records[known]), headers=_limits(account))
    number = str(world.next_number())
    digest = hashlib.sha256(text.encode()).hexdigest()
    value = {"status": text, "visibility": body.get("visibility", "public")}
    account.records[number] = record = Record(number, value, digest, time.time())
    if key:
        account.idempotency[key] = (record.created_at, number)
    return JSONResponse(_status(request, account, record), headers=_limits(account))


@router.get("/api/v1/statuses/{number}/source")
async def source(request: Request, number: str) -> Response:
    """Answer the plain text that a status was written with."""
    account = _authenticate(request.app.state.world, request)
    if isinstance(account, JSONResponse):
        return account
    record = account.records.get(number)
    if record is None:
        return _error(404, "Record not found")
    return JSONResponse({"id": number, "text": record.value["status"], "spoiler_text": ""})


@router.get("/api/v1/accounts/{identifier}/statuses")
async def statuses(request: Request, identifier: str, limit: int = 20, max_id: str | None = None) -> Response:
    """List an account's statuses, newest first, older than *max_id*."""
    world: World = request.app.state.world
    account = _authenticate(world, request)
    if isinstance(account, JSONResponse):
        return account
    if account.identifier != identifier:
        return _error(404, "Record not found")
    account.calls["probe"] += 1
    fault = world.strike("mastodon", "probe", account.handle)
    refused = _before_work(fault, request, account)
    if refused is not None:
        return refused
    newest = sorted(account.records.values(), key=lambda record: int(record.key), reverse=True)
    page = [record for record in newest if max_id is None or int(record.key) < int(max_id)][:limit]
    return await after_work(fault, request, JSONResponse([_status(request, account, r) for r in page]))
