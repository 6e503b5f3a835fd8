"""The part of X's interface, version 2, that posting needs, as X answers it."""

import html
import time
from datetime import UTC, datetime
from typing import Any

import orjson
from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from ops.stand_in.fault import FaultKind
from ops.stand_in.form import read_form
from ops.stand_in.serve import Manner, serve
from ops.stand_in.world import Account, Medium, Record, World
from tasks.social_posting.length import LINK, weighted

CHARACTERS = 280
PROBLEMS = "https://api.twitter.com/2/problems"

router = APIRouter(prefix="/x/2")


def _problem(status: int, title: str, detail: str, kind: str = "about:blank", **more: Any) -> JSONResponse:
    headers = more.pop("headers", None)
    body = {"title": title, "detail": detail, "type": kind, "status": status} | more
    return JSONResponse(body, status_code=status, headers=headers)


def _limits(account: Account, resets_at: float | None = None) -> dict[str, str]:
    window = account.window
    remaining = str(window.remaining if resets_at is None else 0)
    reset = str(int(window.resets_at if resets_at is None else resets_at) + 1)
    return {
        "x-rate-limit-limit": "40000",
        "x-rate-limit-remaining": "39990",
        "x-rate-limit-reset": str(int(time.time()) + 900),
        "x-user-limit-24hour-limit": str(window.limit),
        "x-user-limit-24hour-remaining": remaining,
        "x-user-limit-24hour-reset": reset,
    }


def _unknown_token() -> Response:
    return _problem(401, "Unauthorized", "Unauthorized")


def _refuse(  # noqa: PLR0911 - one per refusal
    kind: FaultKind, account: Account, resets_at: float
) -> Response | None:
    match kind:
        case FaultKind.EXPIRED_TOKEN:
            return _unknown_token()
        case FaultKind.RATE_LIMIT:
            return _problem(
                429, "Too Many Requests", "Too Many Requests", headers=_limits(account, resets_at)
            )
        case FaultKind.TAKEDOWN:
            return _problem(403, "Forbidden", "Your account is suspended.")
        case FaultKind.REVOKED:
            return _problem(403, "Forbidden", "You are not permitted to perform this action.")
        case FaultKind.REFUSED:
            return _problem(400, "Invalid Request", "One or more parameters to your request was invalid.")
        case FaultKind.DUPLICATE:
            return _problem(403, "Forbidden", "You are not allowed to create a Tweet with duplicate content.")
        case FaultKind.STALE:
            return _invalid_media()
        case _:
            return None


def _invalid_media() -> Response:
    errors = [{"parameters": {"media.media_ids": []}, "message": "Your media IDs are invalid."}]
    detail = "One or more parameters to your request was invalid."
    return _problem(400, "Invalid Request", detail, f"{PROBLEMS}/invalid-request", errors=errors)


MANNER = Manner("x", _unknown_token, _refuse)


@router.post("/tweets")
async def publish(request: Request) -> Response:
    """Publish a post; the account's own identical text is refused."""
    body = orjson.loads(await request.body() or b"{}")
    return await serve(request, MANNER, "publish", lambda world, who: _write(world, who, body), points=1)


def _write(world: World, account: Account, body: dict[str, Any]) -> Response:
    text = body.get("text", "")
    wanted = body.get("media", {}).get("media_ids", [])
    media = [account.media[key] for key in wanted if key in account.media]
    if len(media) < len(wanted):
        return _invalid_media()
    if not text and not media:
        return _problem(400, "Invalid Request", "One or more parameters to your request was invalid.")
    if weighted(text) > CHARACTERS:
        return _problem(403, "Forbidden", "Your Tweet text is too long.")
    if text and any(record.value["text"] == text for record in account.records.values()):
        return _refuse(FaultKind.DUPLICATE, account, 0) or _unknown_token()
    key = str(world.next_number())
    shown = [medium.value for medium in media]
    account.records[key] = Record(key, {"text": text}, key, time.time(), shown)
    data = {"id": key, "text": html.escape(text, quote=False), "edit_history_tweet_ids": [key]}
    return JSONResponse({"data": data}, status_code=201, headers=_limits(account))


@router.get("/users/me")
async def me(request: Request) -> Response:
    """Say whose token this is."""

    def work(_: World, account: Account) -> Response:
        data = {"id": account.identifier, "name": account.handle, "username": account.handle}
        return JSONResponse({"data": data})

    return await serve(request, MANNER, "login", work)


@router.get("/users/{identifier}/tweets")
async def timeline(request: Request, identifier: str, start_time: datetime | None = None) -> Response:
    """List the account's posts, newest first, a page at a time."""
    size = int(request.query_params.get("max_results", "10"))
    start = int(request.query_params.get("pagination_token", "0"))

    def work(world: World, account: Account) -> Response:
        if "x" in world.unreadable:
            detail = "When authenticating requests you must use keys that have access to this endpoint."
            return _problem(403, "Client Forbidden", detail, f"{PROBLEMS}/client-forbidden")
        if identifier != account.identifier:
            return _problem(404, "Not Found Error", "Could not find user")
        since = 0.0 if start_time is None else start_time.timestamp()
        rows = [_shown(r) for r in world.listed(account) if r.created_at >= since]
        page = rows[start : start + size]
        more = {"next_token": str(start + size)} if start + size < len(rows) else {}
        body: dict[str, Any] = {"data": page} if page else {}
        return JSONResponse(body | {"meta": {"result_count": len(page)} | more}, headers=_limits(account))

    return await serve(request, MANNER, "probe", work)


def _shown(record: Record) -> dict[str, Any]:
    """Return a post as X shows it: links shortened, three characters escaped, media at the end."""
    text, urls = record.value["text"], []
    for number, found in enumerate(LINK.findall(text)):
        short = f"https://t.co/{record.key}{number}"
        text = text.replace(found, short, 1)
        address = found if "://" in found else f"http://{found}"
        urls.append({"url": short, "expanded_url": address, "display_url": found[:30]})
    if record.media:
        short = f"https://t.co/m{record.key}"
        text = f"{text} {short}".strip()
        urls.append({"url": short, "expanded_url": "https://x.com/photo/1", "media_key": "3_1"})
    return {
        "id": record.key,
        "text": html.escape(text, quote=False),
        "created_at": datetime.fromtimestamp(record.created_at, UTC).isoformat(),
        "entities": {"urls": urls} if urls else {},
        "edit_history_tweet_ids": [record.key],
    }


@router.get("/tweets/{key}")
async def read(request: Request, key: str) -> Response:
    """Read a post's public counters."""

    def work(_: World, account: Account) -> Response:
        if key not in account.records:
            missing = {"title": "Not Found Error", "type": f"{PROBLEMS}/resource-not-found", "detail": key}
            return JSONResponse({"errors": [missing]})
        counted = {
            "retweet_count": 2,
            "reply_count": 1,
            "like_count": 5,
            "quote_count": 0,
            "bookmark_count": 0,
            "impression_count": 120,
        }
        return JSONResponse({"data": _shown(account.records[key]) | {"public_metrics": counted}})

    return await serve(request, MANNER, "metrics", work)


@router.delete("/tweets/{key}")
async def delete(request: Request, key: str) -> Response:
    """Delete a post; one that is gone is deleted too."""

    def work(_: World, account: Account) -> Response:
        account.records.pop(key, None)
        return JSONResponse({"data": {"deleted": True}})

    return await serve(request, MANNER, "delete", work)


def _medium(medium: Medium) -> dict[str, Any]:
    answer: dict[str, Any] = {
        "id": medium.key,
        "media_key": f"3_{medium.key}",
        "expires_after_secs": 86_400,
    }
    wait = medium.ready_at - time.time()
    if medium.value["is_film"]:
        is_done = wait <= 0
        state = {"state": "succeeded"} if is_done else {"state": "in_progress", "check_after_secs": 1}
        answer["processing_info"] = state
    return {"data": answer}


@router.post("/media/upload")
async def upload(request: Request) -> Response:
    """Take a picture at once."""
    form, _ = await read_form(request)
    kind = form.get("media_type")

    def work(world: World, account: Account) -> Response:
        medium = world.keep_medium(account, {"type": kind, "alt_text": "", "is_film": False})
        return JSONResponse(_medium(medium))

    return await serve(request, MANNER, "upload", work)


@router.post("/media/upload/initialize")
async def initialize(request: Request) -> Response:
    """Begin an upload in parts."""
    body = await request.json()

    def work(world: World, account: Account) -> Response:
        value = {"type": body["media_type"], "alt_text": "", "is_film": True, "parts": 0}
        return JSONResponse({"data": _medium(world.keep_medium(account, value))["data"]})

    return await serve(request, MANNER, "upload", work)


@router.post("/media/upload/{key}/append")
async def append(request: Request, key: str) -> Response:
    """Take a part."""
    form, _ = await read_form(request)

    def work(_: World, account: Account) -> Response:
        account.media[key].value["parts"] = int(form["segment_index"]) + 1
        return JSONResponse({"data": {"expires_at": int(time.time()) + 86_400}})

    return await serve(request, MANNER, "upload", work)


@router.post("/media/upload/{key}/finalize")
async def finalize(request: Request, key: str) -> Response:
    """End an upload in parts; X then works on it."""
    return await serve(
        request, MANNER, "upload", lambda _, account: JSONResponse(_medium(account.media[key]))
    )


@router.get("/media/upload")
async def status(request: Request, media_id: str) -> Response:
    """Tell how far X is with a film."""
    return await serve(
        request, MANNER, "prepare", lambda _, account: JSONResponse(_medium(account.media[media_id]))
    )


@router.post("/media/metadata")
async def describe(request: Request) -> Response:
    """Take a medium's alt text."""
    body = await request.json()

    def work(_: World, account: Account) -> Response:
        account.media[body["id"]].value["alt_text"] = body["metadata"]["alt_text"]["text"]
        return JSONResponse({"data": {"id": body["id"], "associated_metadata": body["metadata"]}})

    return await serve(request, MANNER, "upload", work)
