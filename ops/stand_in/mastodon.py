"""The part of Mastodon's API that posting needs, as a Mastodon server answers it."""

import hashlib
import html
import time
from datetime import UTC, datetime
from typing import Any

import grapheme
from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from ops.stand_in.fault import FaultKind
from ops.stand_in.form import read_form
from ops.stand_in.serve import Manner, serve
from ops.stand_in.world import Account, Medium, Record, World

CHARACTERS = 500
ALT_TEXT = 1_500
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


def _unknown_token() -> Response:
    return _error(401, "The access token is invalid")


def _refuse(kind: FaultKind, account: Account, resets_at: float) -> Response | None:
    match kind:
        case FaultKind.EXPIRED_TOKEN | FaultKind.REVOKED:
            return _unknown_token()
        case FaultKind.RATE_LIMIT:
            return _error(429, "Too many requests", _limits(account, resets_at))
        case FaultKind.TAKEDOWN:
            return _error(403, "Your login is currently disabled")
        case FaultKind.REFUSED:
            return _error(422, "Validation failed: Text is not acceptable")
        case _:
            return None


MANNER = Manner("mastodon", _unknown_token, _refuse)


def _status(request: Request, account: Account, record: Record) -> dict[str, Any]:
    url = f"{request.base_url}mastodon/@{account.handle}/{record.key}"
    return {
        "id": record.key,
        "created_at": _moment(record.created_at),
        "visibility": record.value["visibility"],
        "uri": url,
        "url": url,
        "content": f"<p>{html.escape(record.value['text'])}</p>",
        "account": {"id": account.identifier, "username": account.handle, "acct": account.handle},
        "media_attachments": record.media,
        "favourites_count": 5,
        "replies_count": 1,
        "reblogs_count": 2,
        "quotes_count": 0,
    }


@router.get("/api/v2/instance")
async def instance() -> JSONResponse:
    """Describe the server and its limits."""
    statuses = {"max_characters": CHARACTERS, "max_media_attachments": 4, "characters_reserved_per_url": 23}
    media = {"description_limit": ALT_TEXT, "image_size_limit": 16_777_216, "video_size_limit": 103_809_024}
    configuration = {"statuses": statuses, "media_attachments": media}
    return JSONResponse({"title": "stand-in", "version": "4.4.0", "configuration": configuration})


@router.get("/api/v1/accounts/verify_credentials")
async def verify_credentials(request: Request) -> Response:
    """Say whose token this is."""

    def work(_: World, account: Account) -> Response:
        return JSONResponse({"id": account.identifier, "username": account.handle, "acct": account.handle})

    return await serve(request, MANNER, "login", work)


@router.post("/api/v2/media")
async def upload(request: Request) -> Response:
    """Take a medium; the server may work on it for a while."""
    form, parts = await read_form(request)
    kind = parts["file"].content_type if "file" in parts else None

    def work(world: World, account: Account) -> Response:
        value = {"type": kind, "alt_text": form.get("description", "")}
        medium = world.keep_medium(account, value)
        return JSONResponse(_medium(medium), status_code=200 if _is_ready(medium) else 202)

    return await serve(request, MANNER, "upload", work)


def _is_ready(medium: Medium) -> bool:
    return medium.ready_at <= time.time()


def _medium(medium: Medium) -> dict[str, Any]:
    url = f"https://files.invalid/{medium.key}" if _is_ready(medium) else None
    return {"id": medium.key, "type": medium.value["type"], "url": url} | medium.value


@router.get("/api/v1/media/{key}")
async def read_medium(request: Request, key: str) -> Response:
    """Tell whether the server is done with a medium."""

    def work(_: World, account: Account) -> Response:
        medium = account.media.get(key)
        if medium is None:
            return _error(404, "Record not found")
        return JSONResponse(_medium(medium), status_code=200 if _is_ready(medium) else 206)

    return await serve(request, MANNER, "prepare", work)


@router.post("/api/v1/statuses")
async def publish(request: Request) -> Response:
    """Publish a status; the same Idempotency-Key within an hour answers the first one."""
    body = await request.json()
    header = request.headers.get("idempotency-key")

    def work(world: World, account: Account) -> Response:
        key = header if world.honours_idempotency else None
        return _write(request, world, account, body=body, key=key)

    return await serve(request, MANNER, "publish", work)


def _write(
    request: Request, world: World, account: Account, *, body: dict[str, Any], key: str | None
) -> JSONResponse:
    text, wanted = body.get("status") or "", body.get("media_ids", [])
    wrong = _wrong(account, text, wanted)
    if wrong is not None:
        return wrong
    if not account.window.take(1):
        return _error(429, "Too many requests", _limits(account))
    used_at, known = account.idempotency.get(key or "", (0.0, ""))
    if time.time() - used_at < IDEMPOTENCY_SECONDS and known in account.records:
        return JSONResponse(_status(request, account, account.records[known]), headers=_limits(account))
    number = str(world.next_number())
    digest = hashlib.sha256(text.encode()).hexdigest()
    value = {"text": text, "visibility": body.get("visibility", "public")}
    shown = [{"id": medium} | account.media[medium].value for medium in wanted]
    account.records[number] = record = Record(number, value, digest, time.time(), shown)
    if key:
        account.idempotency[key] = (record.created_at, number)
    return JSONResponse(_status(request, account, record), headers=_limits(account))


def _wrong(account: Account, text: str, wanted: list[str]) -> JSONResponse | None:
    if not text and not wanted:
        return _error(422, "Validation failed: Text can't be blank")
    if grapheme.length(text) > CHARACTERS:
        return _error(422, f"Validation failed: Text character limit of {CHARACTERS} exceeded")
    media = [account.media.get(key) for key in wanted]
    if any(medium is None for medium in media):
        return _error(422, "Validation failed: Media attachment is not found")
    if not all(_is_ready(medium) for medium in media if medium is not None):
        return _error(422, "Cannot attach files that have not finished processing. Try again in a moment!")
    return None


@router.get("/api/v1/statuses/{number}/source")
async def source(request: Request, number: str) -> Response:
    """Answer the plain text that a status was written with."""

    def work(_: World, account: Account) -> Response:
        record = account.records.get(number)
        if record is None:
            return _error(404, "Record not found")
        return JSONResponse({"id": number, "text": record.value["text"], "spoiler_text": ""})

    return await serve(request, MANNER, "source", work)


@router.get("/api/v1/statuses/{number}")
async def read(request: Request, number: str) -> Response:
    """Read a status with its counters."""

    def work(_: World, account: Account) -> Response:
        record = account.records.get(number)
        missing = _error(404, "Record not found")
        return missing if record is None else JSONResponse(_status(request, account, record))

    return await serve(request, MANNER, "metrics", work)


@router.delete("/api/v1/statuses/{number}")
async def delete(request: Request, number: str) -> Response:
    """Delete a status."""

    def work(_: World, account: Account) -> Response:
        record = account.records.pop(number, None)
        missing = _error(404, "Record not found")
        return missing if record is None else JSONResponse(_status(request, account, record))

    return await serve(request, MANNER, "delete", work)


@router.get("/api/v1/accounts/{identifier}/statuses")
async def statuses(request: Request, identifier: str, limit: int = 20, max_id: str | None = None) -> Response:
    """List an account's statuses, newest first, older than *max_id*."""

    def work(_: World, account: Account) -> Response:
        if account.identifier != identifier:
            return _error(404, "Record not found")
        newest = sorted(account.records.values(), key=lambda record: int(record.key), reverse=True)
        page = [record for record in newest if max_id is None or int(record.key) < int(max_id)][:limit]
        return JSONResponse([_status(request, account, record) for record in page])

    return await serve(request, MANNER, "probe", work)
