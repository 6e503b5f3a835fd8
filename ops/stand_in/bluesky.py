"""The part of the AT Protocol that posting needs, as a Bluesky server answers it."""

import hashlib
import time
from typing import Any

import grapheme
import orjson
from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from ops.stand_in.fault import FaultKind
from ops.stand_in.serve import Manner, serve
from ops.stand_in.world import Account, Record, World

CREATE_POINTS, DELETE_POINTS = 3, 1
GRAPHEMES = 300
BYTES = 3_000
BLOB_BYTES = 1_000_000

router = APIRouter(prefix="/bluesky/xrpc")


def _error(status: int, name: str, message: str, headers: dict[str, str] | None = None) -> JSONResponse:
    return JSONResponse({"error": name, "message": message}, status_code=status, headers=headers)


def _limits(account: Account, resets_at: float | None = None) -> dict[str, str]:
    window = account.window
    return {
        "ratelimit-limit": str(window.limit),
        "ratelimit-remaining": str(window.remaining if resets_at is None else 0),
        "ratelimit-reset": str(int(window.resets_at if resets_at is None else resets_at) + 1),
        "ratelimit-policy": f"{window.limit};w={int(window.seconds)}",
    }


def _cid(value: object) -> str:
    return "bafyrei" + hashlib.sha256(orjson.dumps(value, option=orjson.OPT_SORT_KEYS)).hexdigest()[:52]


def _unknown_token() -> Response:
    return _error(400, "InvalidToken", "Token could not be verified")


def _refuse(  # noqa: PLR0911 - one per refusal
    kind: FaultKind, account: Account, resets_at: float
) -> Response | None:
    """Answer a refusal. Bad tokens get 400, not 401; blocked accounts get 401, not 403."""
    match kind:
        case FaultKind.EXPIRED_TOKEN:
            return _error(400, "ExpiredToken", "Token has expired")
        case FaultKind.RATE_LIMIT:
            return _error(429, "RateLimitExceeded", "Rate Limit Exceeded", _limits(account, resets_at))
        case FaultKind.TAKEDOWN if account.status == "deactivated":
            return _error(401, "AccountDeactivated", "Account is deactivated")
        case FaultKind.TAKEDOWN:
            return _error(401, "AccountTakedown", "Account has been taken down")
        case FaultKind.REVOKED:
            return _error(401, "AuthenticationRequired", "Invalid identifier or password")
        case FaultKind.REFUSED:
            return _error(400, "InvalidRequest", "Invalid app.bsky.feed.post record")
        case FaultKind.STALE:
            return _error(400, "BlobNotFound", "Could not find blob")
        case _:
            return None


MANNER = Manner("bluesky", _unknown_token, _refuse)


def _without_token(request: Request) -> Response | None:
    if request.headers.get("authorization", "").startswith("Bearer "):
        return None
    return _error(401, "AuthMissing", "Authentication Required")


def _session(world: World, account: Account) -> JSONResponse:
    access, refresh = account.grant(world.token_seconds)
    return JSONResponse(
        {
            "did": account.identifier,
            "handle": account.handle,
            "accessJwt": access,
            "refreshJwt": refresh,
            "active": True,
        }
    )


@router.post("/com.atproto.server.createSession")
async def create_session(request: Request) -> Response:
    """Log in with handle and app password."""
    world: World = request.app.state.world
    body = await request.json()
    account = world.named("bluesky", str(body.get("identifier")))
    if account is None or account.password != body.get("password"):
        return _error(401, "AuthenticationRequired", "Invalid identifier or password")
    return await serve(request, MANNER, "login", _session, account=account)


@router.post("/com.atproto.server.refreshSession")
async def refresh_session(request: Request) -> Response:
    """Trade a refresh token, good for one use, for a new pair."""
    world: World = request.app.state.world
    token = request.headers.get("authorization", "").removeprefix("Bearer ")
    account = next((a for a in world.accounts.values() if token in a.refresh), None)
    if account is None:
        return _error(400, "ExpiredToken", "Token has been revoked")

    def work(here: World, who: Account) -> Response:
        who.refresh.discard(token)
        return _session(here, who)

    return await serve(request, MANNER, "refresh", work, account=account)


@router.get("/com.atproto.server.getSession")
async def get_session(request: Request) -> Response:
    """Say whose session this is."""

    def work(_: World, account: Account) -> Response:
        return JSONResponse({"did": account.identifier, "handle": account.handle, "active": True})

    return _without_token(request) or await serve(request, MANNER, "login", work)


@router.post("/com.atproto.repo.uploadBlob")
async def upload_blob(request: Request) -> Response:
    """Take a blob; a record may name it."""
    content, kind = await request.body(), request.headers.get("content-type", "")

    def work(world: World, account: Account) -> Response:
        if len(content) > BLOB_BYTES and kind.startswith("image/"):
            return _error(400, "BlobTooLarge", f"This file is too large. It is {len(content)} bytes")
        key = "bafkrei" + hashlib.sha256(content).hexdigest()[:52]
        world.keep_medium(account, {"type": kind, "size": len(content)}, key=key)
        blob = {"$type": "blob", "ref": {"$link": key}, "mimeType": kind, "size": len(content)}
        return JSONResponse({"blob": blob})

    return _without_token(request) or await serve(request, MANNER, "upload", work)


@router.post("/com.atproto.repo.putRecord")
async def put_record(request: Request) -> Response:
    """Write a record under the caller's own key; `swapRecord: null` refuses one that exists."""
    body = await request.json()
    refused = _without_token(request)
    return refused or await serve(request, MANNER, "publish", lambda _, account: _write(account, body))


def _write(account: Account, body: dict[str, Any]) -> Response:
    wrong = _wrong(account, body)
    if wrong is not None:
        return wrong
    if not account.window.take(CREATE_POINTS):
        return _error(429, "RateLimitExceeded", "Rate Limit Exceeded", _limits(account))
    key, value, cid = body["rkey"], body["record"], _cid(body["record"])
    present = account.records.get(key)
    if present is not None and "swapRecord" in body and body["swapRecord"] != present.cid:
        return _error(400, "InvalidSwap", f"Record was at {present.cid}")
    if present is None:
        account.records[key] = Record(key, value, cid, time.time(), _media(value))
    else:
        present.value, present.cid = value, cid
    uri = f"at://{account.identifier}/{body['collection']}/{key}"
    answer = {"uri": uri, "cid": cid, "commit": {"cid": cid, "rev": key}, "validationStatus": "valid"}
    return JSONResponse(answer, headers=_limits(account))


def _media(record: dict[str, Any]) -> list[dict[str, Any]]:
    embed = record.get("embed", {})
    pairs = [(each["image"], each["alt"]) for each in embed.get("images", [])]
    pairs += [(embed["video"], embed.get("alt", ""))] if "video" in embed else []
    return [{"type": blob["mimeType"], "key": blob["ref"]["$link"], "alt_text": alt} for blob, alt in pairs]


def _wrong(account: Account, body: dict[str, Any]) -> JSONResponse | None:
    if body.get("repo") not in (account.identifier, account.handle):
        return _error(401, "AuthenticationRequired", "Could not match repo to the session")
    text = body.get("record", {}).get("text")
    if not isinstance(text, str) or "createdAt" not in body["record"]:
        return _error(400, "InvalidRequest", 'Invalid app.bsky.feed.post record: Record must have "text"')
    invalid = "Invalid app.bsky.feed.post record: Record/text must not be longer than"
    if grapheme.length(text) > GRAPHEMES:
        return _error(400, "InvalidRequest", f"{invalid} {GRAPHEMES} graphemes")
    if len(text.encode()) > BYTES:
        return _error(400, "InvalidRequest", f"{invalid} {BYTES} characters")
    missing = [medium["key"] for medium in _media(body["record"]) if medium["key"] not in account.media]
    return _error(400, "BlobNotFound", f"Could not find blob: {missing[0]}") if missing else None


@router.get("/com.atproto.repo.getRecord")
async def get_record(request: Request, repo: str, collection: str, rkey: str) -> Response:
    """Read one record; no token is needed."""
    world: World = request.app.state.world
    account = world.named("bluesky", repo)
    if account is None:
        return _error(400, "InvalidRequest", f"Could not find repo: {repo}")

    def work(_: World, who: Account) -> Response:
        return _read(who, collection, rkey)

    return await serve(request, MANNER, "probe", work, account=account)


def _read(account: Account, collection: str, key: str) -> JSONResponse:
    uri = f"at://{account.identifier}/{collection}/{key}"
    record = account.records.get(key)
    if record is None:
        return _error(400, "RecordNotFound", f"Could not locate record: {uri}")
    return JSONResponse({"uri": uri, "cid": record.cid, "value": record.value})


@router.post("/com.atproto.repo.deleteRecord")
async def delete_record(request: Request) -> Response:
    """Delete a record; one that is not there is deleted too."""
    body = await request.json()

    def work(_: World, account: Account) -> Response:
        account.records.pop(body["rkey"], None)
        return JSONResponse({})

    refused = _without_token(request)
    return refused or await serve(request, MANNER, "delete", work, points=DELETE_POINTS)


@router.get("/app.bsky.feed.getPosts")
async def get_posts(request: Request, uris: str) -> Response:
    """Read a post's counters."""

    def work(_: World, account: Account) -> Response:
        if uris.rsplit("/", 1)[-1] not in account.records:
            return JSONResponse({"posts": []})
        counted = {"likeCount": 5, "replyCount": 1, "repostCount": 2, "quoteCount": 0}
        return JSONResponse({"posts": [{"uri": uris} | counted]})

    return _without_token(request) or await serve(request, MANNER, "metrics", work)


@router.get("/com.atproto.repo.listRecords")
async def list_records(
    request: Request, repo: str, collection: str, limit: int = 50, cursor: str | None = None
) -> Response:
    """List an account's records, newest key first, a page at a time."""
    world: World = request.app.state.world
    account = world.named("bluesky", repo)
    if account is None:
        return _error(400, "InvalidRequest", f"Could not find repo: {repo}")
    keys = sorted((key for key in account.records if cursor is None or key < cursor), reverse=True)[:limit]
    page: dict[str, Any] = {
        "records": [
            {
                "uri": f"at://{account.identifier}/{collection}/{key}",
                "cid": account.records[key].cid,
                "value": account.records[key].value,
            }
            for key in keys
        ]
    }
    return JSONResponse(page | ({"cursor": keys[-1]} if len(keys) == limit else {}))
