"""The part of the AT Protocol that posting needs, as a Bluesky server answers it."""

import hashlib
import time
from typing import Any

import grapheme
import orjson
from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from ops.stand_in.fault import Fault, FaultKind, after_work, before_work
from ops.stand_in.world import Account, Record, World

CREATE_POINTS = 3
GRAPHEMES = 300
BYTES = 3_000

router = APIRouter(prefix="/bluesky/xrpc")


def _error(status: int, name: str, message: str, headers: dict[str, str] | None = None) -> JSONResponse:
    return JSONResponse({"error": name, "message": message}, status_code=status, headers=headers)


def _limits(account: Account) -> dict[str, str]:
    window = account.window
    return {
        "ratelimit-limit": str(window.limit),
        "ratelimit-remaining": str(window.remaining),
        "ratelimit-reset": str(int(window.resets_at) + 1),
        "ratelimit-policy": f"{window.limit};w={int(window.seconds)}",
    }


def _cid(value: object) -> str:
    return "bafyrei" + hashlib.sha256(orjson.dumps(value, option=orjson.OPT_SORT_KEYS)).hexdigest()[:52]


def _authenticate(world: World, request: Request) -> Account | JSONResponse:
    """Return the caller's account, or the answer a bad token gets: 400, not 401."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme != "Bearer" or not token:
        return _error(401, "AuthMissing", "Authentication Required")
    account = world.holder("bluesky", token)
    if account is None:
        return _error(400, "InvalidToken", "Token could not be verified")
    if account.access[token] <= time.time():
        return _error(400, "ExpiredToken", "Token has expired")
    return _blocked(account) or account


def _blocked(account: Account) -> JSONResponse | None:
    if account.status == "takendown":
        return _error(401, "AccountTakedown", "Account has been taken down")
    if account.status == "deactivated":
        return _error(401, "AccountDeactivated", "Account is deactivated")
    return None


def _before_work(fault: Fault | None, request: Request, account: Account) -> Response | None:
    """Return what *fault* answers instead of working, or None."""
    if fault is None:
        return None
    if fault.kind is FaultKind.TAKEDOWN:
        account.status = "takendown"
        return _blocked(account)
    if fault.kind is FaultKind.RATE_LIMIT:
        reset = {"ratelimit-reset": str(int(time.time() + fault.seconds) + 1), "ratelimit-remaining": "0"}
        return _error(429, "RateLimitExceeded", "Rate Limit Exceeded", _limits(account) | reset)
    if fault.kind is FaultKind.EXPIRED_TOKEN:
        return _error(400, "ExpiredToken", "Token has expired")
    return before_work(fault, request)


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
    account.calls["login"] += 1
    fault = world.strike("bluesky", "login", account.handle)
    refused = _before_work(fault, request, account) or _blocked(account)
    return refused or await after_work(fault, request, _session(world, account))


@router.post("/com.atproto.server.refreshSession")
async def refresh_session(request: Request) -> Response:
    """Trade a refresh token, good for one use, for a new pair."""
    world: World = request.app.state.world
    token = request.headers.get("authorization", "").removeprefix("Bearer ")
    account = next((a for a in world.accounts.values() if token in a.refresh), None)
    if account is None:
        return _error(400, "ExpiredToken", "Token has been revoked")
    account.calls["refresh"] += 1
    fault = world.strike("bluesky", "refresh", account.handle)
    refused = _before_work(fault, request, account) or _blocked(account)
    if refused is not None:
        return refused
    account.refresh.discard(token)
    return await after_work(fault, request, _session(world, account))


@router.post("/com.atproto.repo.putRecord")
async def put_record(request: Request) -> Response:
    """Write a record under the caller's own key; `swapRecord: null` refuses one that exists."""
    world: World = request.app.state.world
    account = _authenticate(world, request)
    if isinstance(account, JSONResponse):
        return account
    account.calls["publish"] += 1
    fault = world.strike("bluesky", "publish", account.handle)
    refused = _before_work(fault, request, account)
    if refused is not None:
        return refused
    return await after_work(fault, request, _write(account, await request.json()))


def _write(account: Account, body: dict[str, Any]) -> JSONResponse:
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
        account.records[key] = Record(key, value, cid, time.time())
    else:
        present.value, present.cid = value, cid
    uri = f"at://{account.identifier}/{body['collection']}/{key}"
    answer = {"uri": uri, "cid": cid, "commit": {"cid": cid, "rev": key}, "validationStatus": "valid"}
    return JSONResponse(answer, headers=_limits(account))


def _wrong(account: Account, body: dict[str, Any]) -> JSONResponse | None:
    if body.get("repo") not in (account.identifier, account.handle):
        return _error(401, "AuthenticationRequired", "Could not match repo to the session")
    text = body.get("record", {}).get("text")
    if not isinstance(text, str) or "createdAt" not in body["record"]:
        return _error(400, "InvalidRequest", 'Invalid app.bsky.feed.post record: Record must have "text"')
    if grapheme.length(text) > GRAPHEMES:
        return _error(
            400,
            "InvalidRequest",
            f"Invalid app.bsky.feed.post record: Record/text must not be longer than {GRAPHEMES} graphemes",
        )
    if len(text.encode()) > BYTES:
        return _error(
            400,
            "InvalidRequest",
            f"Invalid app.bsky.feed.post record: Record/text must not be longer than {BYTES} characters",
        )
    return None


@router.get("/com.atproto.repo.getRecord")
async def get_record(request: Request, repo: str, collection: str, rkey: str) -> Response:
    """Read one record; no token is needed."""
    world: World = request.app.state.world
    account = world.named("bluesky", repo)
    if account is None:
        return _error(400, "InvalidRequest", f"Could not find repo: {repo}")
    account.calls["probe"] += 1
    fault = world.strike("bluesky", "probe", account.handle)
    refused = _before_work(fault, request, account)
    if refused is not None:
        return refused
    return await after_work(fault, request, _read(account, collection, rkey))


def _read(account: Account, collection: str, key: str) -> JSONResponse:
    uri = f"at://{account.identifier}/{collection}/{key}"
    record = account.records.get(key)
    if record is None:
        return _error(400, "RecordNotFound", f"Could not locate record: {uri}")
    return JSONResponse({"uri": uri, "cid": record.cid, "value": record.value})


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
