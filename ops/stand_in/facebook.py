"""The part of the Graph interface that posting to a page needs, as Facebook answers it."""

import time
from typing import Any

import orjson
from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from ops.stand_in.form import read_form
from ops.stand_in.graph import graph_error, manner_of, missing, moment, page_of, usage
from ops.stand_in.serve import serve
from ops.stand_in.world import Account, Record, World

CHARACTERS = 63_206
FOREVER = 10 * 365 * 86_400.0

router = APIRouter(prefix="/facebook/v25.0")
MANNER = manner_of("facebook")


@router.post("/{page}/feed")
async def publish(request: Request, page: str) -> Response:
    """Post as the page; the same words twice in a row are refused."""
    form, _ = await read_form(request)
    return await serve(
        request, MANNER, "publish", lambda world, who: _write(world, who, page, form), points=1
    )


def _write(world: World, account: Account, page: str, form: dict[str, str]) -> Response:
    if page != account.identifier:
        return graph_error(200, "(#200) Permissions error")
    text = form.get("message", "")
    pictures = [each["media_fbid"] for each in orjson.loads(form.get("attached_media", "[]"))]
    if not text and not pictures:
        return graph_error(100, "Invalid parameter", 1349125)
    if len(text) > CHARACTERS or any(picture not in account.media for picture in pictures):
        return graph_error(100, "Invalid parameter")
    last = next(reversed(account.records.values()), None)
    if text and last is not None and last.value["text"] == text:
        return graph_error(506, "Duplicate status message")
    key = f"{page}_{world.next_number()}"
    shown = [account.media[picture].value for picture in pictures]
    account.records[key] = Record(key, {"text": text}, key, time.time(), shown)
    return JSONResponse({"id": key}, headers=usage(account))


@router.post("/{page}/photos")
async def upload(request: Request, page: str) -> Response:
    """Take a picture without publishing it."""
    form, parts = await read_form(request)
    value = {
        "type": parts["source"].content_type if "source" in parts else None,
        "alt_text": form.get("alt_text_custom", ""),
    }

    def work(world: World, account: Account) -> Response:
        if page != account.identifier or form.get("published") != "false":
            return graph_error(200, "(#200) Permissions error")
        return JSONResponse({"id": world.keep_medium(account, value).key})

    return await serve(request, MANNER, "upload", work)


@router.get("/{page}/posts")
async def posts(request: Request, page: str, since: float = 0.0) -> Response:
    """List the page's posts, newest first."""

    def work(world: World, account: Account) -> Response:
        if "facebook" in world.unreadable or page != account.identifier:
            return graph_error(10, "(#10) This endpoint requires the 'pages_read_engagement' permission")
        rows = [_shown(r) for r in world.listed(account) if r.created_at >= since]
        return page_of(request, rows)

    return await serve(request, MANNER, "probe", work)


def _shown(record: Record) -> dict[str, Any]:
    text = record.value["text"]
    return {
        "id": record.key,
        "created_time": moment(record.created_at),
        "permalink_url": f"https://www.facebook.com/{record.key}",
    } | ({"message": text} if text else {})


@router.get("/me/accounts")
async def pages(request: Request) -> Response:
    """List the pages that the person manages, each with a token of its own that does not end."""

    def work(_: World, account: Account) -> Response:
        token = account.grant(FOREVER)[0]
        row = {"id": account.identifier, "name": account.handle, "access_token": token}
        return page_of(request, [row | {"tasks": ["CREATE_CONTENT", "MANAGE"]}])

    return await serve(request, MANNER, "login", work)


@router.get("/{key}")
async def read(request: Request, key: str) -> Response:
    """Read a post's counters."""

    def work(_: World, account: Account) -> Response:
        if key not in account.records:
            return missing(key)
        counted = {
            "reactions": {"data": [], "summary": {"total_count": 5}},
            "comments": {"data": [], "summary": {"total_count": 1}},
            "shares": {"count": 2},
        }
        return JSONResponse({"id": key} | counted)

    return await serve(request, MANNER, "metrics", work)


@router.delete("/{key}")
async def delete(request: Request, key: str) -> Response:
    """Delete a post."""

    def work(_: World, account: Account) -> Response:
        gone = account.records.pop(key, None) is None
        return missing(key) if gone else JSONResponse({"success": True})

    return await serve(request, MANNER, "delete", work)
