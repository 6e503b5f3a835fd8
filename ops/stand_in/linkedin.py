"""The part of LinkedIn's interface that posting needs, as LinkedIn answers it."""

import time
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from ops.stand_in.fault import FaultKind
from ops.stand_in.serve import Manner, serve
from ops.stand_in.world import Account, Record, World

CHARACTERS = 3_000
FILM_PART = 4 * 1024 * 1024
OLDEST_VERSION = "202511"
DENIED = "Not enough permissions to access: partnerApiPosts"

router = APIRouter(prefix="/linkedin")


def _error(status: int, code: str, message: str, **more: Any) -> JSONResponse:
    return JSONResponse({"status": status, "code": code, "message": message} | more, status_code=status)


def _unknown_token() -> Response:
    return _error(401, "INVALID_ACCESS_TOKEN", "Invalid access token", serviceErrorCode=65600)


def _refuse(  # noqa: PLR0911 - one per refusal
    kind: FaultKind, account: Account, resets_at: float
) -> Response | None:
    """Answer a refusal. LinkedIn never says when a limit ends: its day ends at midnight UTC."""
    del account, resets_at
    match kind:
        case FaultKind.EXPIRED_TOKEN:
            words = "The token used in the request has expired"
            return _error(401, "EXPIRED_ACCESS_TOKEN", words, serviceErrorCode=65602)
        case FaultKind.REVOKED:
            words = "The token used in the request has been revoked by the user"
            return _error(401, "REVOKED_ACCESS_TOKEN", words, serviceErrorCode=65601)
        case FaultKind.RATE_LIMIT:
            words = "Resource level throttle MEMBER DAY limit for calls to this resource is reached."
            return _error(429, "TOO_MANY_REQUESTS", words)
        case FaultKind.TAKEDOWN:
            return _error(403, "ACCESS_DENIED", "Member is restricted", serviceErrorCode=100)
        case FaultKind.REFUSED:
            return _error(422, "VALIDATION_ERROR", "ERROR :: /commentary :: field is not acceptable")
        case FaultKind.DUPLICATE:
            return _duplicate("urn:li:share:1")
        case _:
            return None


def _duplicate(urn: str) -> Response:
    words = f"Content is a duplicate of {urn}"
    found = [{"description": "Duplicate post is detected", "input": {}, "code": "DUPLICATE_POST"}]
    body = {"errorDetailType": "com.linkedin.common.error.BadRequest", "errorDetails": {"inputErrors": found}}
    return JSONResponse(body | {"message": words, "status": 422}, status_code=422)


MANNER = Manner("linkedin", _unknown_token, _refuse)


def _wrong_version(request: Request) -> Response | None:
    version = request.headers.get("linkedin-version", "")
    if request.headers.get("x-restli-protocol-version") != "2.0.0" or not version:
        return _error(400, "VERSION_MISSING", "A version must be present. Please specify a version.")
    if version < OLDEST_VERSION:
        return _error(426, "NONEXISTENT_VERSION", f"Requested version {version}01 is not active")
    return None


@router.post("/rest/posts")
async def publish(request: Request) -> Response:
    """Publish a post; its id is in a header, and the body is empty."""
    wrong = _wrong_version(request)
    if wrong is not None:
        return wrong
    body = await request.json()
    return await serve(request, MANNER, "publish", lambda world, who: _write(world, who, body), points=1)


def _write(world: World, account: Account, body: dict[str, Any]) -> Response:
    if body.get("author") != account.identifier:
        return _error(403, "ACCESS_DENIED", DENIED, serviceErrorCode=100)
    commentary = body.get("commentary", "")
    if len(commentary.replace("\\", "")) > CHARACTERS:
        return _error(422, "VALIDATION_ERROR", "ERROR :: /commentary :: text length exceeds 3000")
    same = [r for r in account.records.values() if commentary and r.value["commentary"] == commentary]
    if same:
        return _duplicate(same[0].key)
    content = body.get("content", {})
    pictures = content.get("multiImage", {}).get("images") or [content[k] for k in ("media",) if k in content]
    if any(picture["id"] not in account.media for picture in pictures):
        return _error(422, "VALIDATION_ERROR", "ERROR :: /content :: image is not found")
    urn = f"urn:li:share:{world.next_number()}"
    shown = [{"id": picture["id"], "alt_text": picture.get("altText", "")} for picture in pictures]
    value = {"text": _plain(commentary), "commentary": commentary}
    account.records[urn] = Record(urn, value, urn, time.time(), shown)
    return Response(status_code=201, headers={"x-restli-id": urn})


def _plain(commentary: str) -> str:
    return "".join(
        char for index, char in enumerate(commentary) if char != "\\" or commentary[index - 1 : index] == "\\"
    )


@router.get("/rest/posts")
async def posts(request: Request, author: str, count: int = 10, start: int = 0) -> Response:
    """List the posts of an author, newest first: an organization's only."""
    wrong = _wrong_version(request)
    if wrong is not None:
        return wrong

    def work(world: World, account: Account) -> Response:
        is_person = account.sort == "person" or "linkedin" in world.unreadable
        if is_person or author != account.identifier:
            return _error(403, "ACCESS_DENIED", DENIED, serviceErrorCode=100)
        newest = world.listed(account)[start : start + count]
        rows = [
            {
                "id": record.key,
                "author": author,
                "commentary": record.value["commentary"],
                "createdAt": int(record.created_at * 1_000),
                "lifecycleState": "PUBLISHED",
            }
            for record in newest
        ]
        return JSONResponse({"elements": rows, "paging": {"start": start, "count": count, "links": []}})

    return await serve(request, MANNER, "probe", work)


@router.delete("/rest/posts/{urn}")
async def delete(request: Request, urn: str) -> Response:
    """Delete a post."""

    def work(_: World, account: Account) -> Response:
        gone = account.records.pop(urn, None) is None
        return _error(404, "NOT_FOUND", f"{urn} is not found") if gone else Response(status_code=204)

    return await serve(request, MANNER, "delete", work)


@router.get("/rest/socialActions/{urn}")
async def counters(request: Request, urn: str) -> Response:
    """Read likes and comments: an organization's only."""

    def work(_: World, account: Account) -> Response:
        if account.sort == "person":
            return _error(403, "ACCESS_DENIED", DENIED, serviceErrorCode=100)
        if urn not in account.records:
            return _error(404, "NOT_FOUND", f"{urn} is not found")
        likes, comments = {"totalLikes": 5}, {"aggregatedTotalComments": 1, "totalFirstLevelComments": 1}
        return JSONResponse({"likesSummary": likes, "commentsSummary": comments})

    return await serve(request, MANNER, "metrics", work)


@router.post("/rest/images")
async def begin_upload(request: Request) -> Response:
    """Name the address a picture may be sent to."""
    base = str(request.base_url)

    def work(world: World, account: Account) -> Response:
        urn = f"urn:li:image:{world.next_number()}"
        value = {"uploadUrl": f"{base}linkedin/dms-uploads/{urn}", "image": urn}
        expires = int(time.time() * 1_000) + 86_400_000
        world.keep_medium(account, {}, key=urn)
        return JSONResponse({"value": value | {"uploadUrlExpiresAt": expires}})

    return await serve(request, MANNER, "upload", work)


@router.put("/dms-uploads/{urn}")
async def upload(request: Request, urn: str) -> Response:
    """Take a picture."""
    size = len(await request.body())

    def work(_: World, account: Account) -> Response:
        account.media[urn].value["size"] = account.media[urn].value.get("size", 0) + size
        return Response(status_code=201, headers={"etag": f"/part/{size}"})

    return await serve(request, MANNER, "upload", work)


@router.post("/rest/videos")
async def film(request: Request, action: str) -> Response:
    """Name the addresses of a film's parts, or take note that all have come."""
    base, body = str(request.base_url), await request.json()

    def begin(world: World, account: Account) -> Response:
        urn, size = f"urn:li:video:{world.next_number()}", body["initializeUploadRequest"]["fileSizeBytes"]
        world.keep_medium(account, {"parts": 0}, key=urn)
        parts = [
            {
                "uploadUrl": f"{base}linkedin/dms-uploads/{urn}",
                "firstByte": first,
                "lastByte": min(first + FILM_PART, size) - 1,
            }
            for first in range(0, size, FILM_PART)
        ]
        return JSONResponse({"value": {"video": urn, "uploadInstructions": parts, "uploadToken": ""}})

    def end(_: World, account: Account) -> Response:
        told = body["finalizeUploadRequest"]
        is_whole = all(told["uploadedPartIds"]) and told["video"] in account.media
        return Response(status_code=200) if is_whole else _error(400, "BAD_REQUEST", "a part is missing")

    work = begin if action == "initializeUpload" else end
    return await serve(request, MANNER, "upload", work)


@router.get("/rest/videos/{urn}")
async def film_state(request: Request, urn: str) -> Response:
    """Tell how far LinkedIn is with a film."""

    def work(_: World, account: Account) -> Response:
        medium = account.media.get(urn)
        if medium is None:
            return _error(404, "NOT_FOUND", f"{urn} is not found")
        is_ready = medium.ready_at <= time.time()
        return JSONResponse({"id": urn, "status": "AVAILABLE" if is_ready else "PROCESSING"})

    return await serve(request, MANNER, "prepare", work)


@router.get("/v2/userinfo")
async def me(request: Request) -> Response:
    """Say whose token this is."""

    def work(_: World, account: Account) -> Response:
        return JSONResponse({"sub": account.identifier.rsplit(":", 1)[-1], "name": account.handle})

    return await serve(request, MANNER, "login", work)


@router.get("/rest/organizationAcls")
async def organizations(request: Request) -> Response:
    """List the organizations that the person administers."""

    def work(_: World, account: Account) -> Response:
        if account.sort == "person":
            return _error(403, "ACCESS_DENIED", DENIED, serviceErrorCode=100)
        row = {"organization": account.identifier, "role": "ADMINISTRATOR", "state": "APPROVED"}
        return JSONResponse({"elements": [row], "paging": {"start": 0, "count": 10, "links": []}})

    return await serve(request, MANNER, "login", work)


@router.get("/rest/organizations/{number}")
async def organization(request: Request, number: str) -> Response:
    """Name an organization."""
    return await serve(
        request,
        MANNER,
        "login",
        lambda _, account: JSONResponse({"id": int(number), "localizedName": account.handle}),
    )
