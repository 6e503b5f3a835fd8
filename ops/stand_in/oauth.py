"""The authorization code flows of the platforms that have one, as each answers them."""

import base64
import hashlib
import secrets
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse, RedirectResponse

from ops.stand_in import linkedin, x
from ops.stand_in.form import read_form
from ops.stand_in.graph import graph_error, manner_of
from ops.stand_in.serve import serve
from ops.stand_in.world import LIVES, Account, Code, World

CODE_SECONDS = 60.0
HOUR = 3_600.0

MANNERS = {"x": x.MANNER, "linkedin": linkedin.MANNER} | {
    name: manner_of(name) for name in ("instagram", "threads")
}

router = APIRouter()


@router.get("/x/i/oauth2/authorize")
@router.get("/linkedin/oauth/v2/authorization")
@router.get("/mastodon/oauth/authorize")
@router.get("/facebook/v25.0/dialog/oauth")
@router.get("/instagram/oauth/authorize")
@router.get("/threads/oauth/authorize")
async def authorize(request: Request) -> Response:
    """Send the person back with a code, as if they had agreed; `deny` in the query as if they had not.

    The account is the one named by `account` in the query, or the newest on the platform.
    """
    world, query = _world(request), request.query_params
    platform = request.url.path.split("/")[1]
    back, told = query["redirect_uri"], {"state": query.get("state", "")}
    if "deny" in query:
        return RedirectResponse(f"{back}?{urlencode(told | {'error': 'access_denied'})}", status_code=302)
    account = _person(world, platform, query.get("account"))
    if account is None or query.get("response_type", "code") != "code":
        return Response("no such account, or no such flow", status_code=404)
    code = secrets.token_urlsafe(16)
    world.codes[code] = Code(
        platform=platform,
        handle=account.handle,
        client_id=query["client_id"],
        redirect_uri=back,
        challenge=query.get("code_challenge"),
        expires_at=time.time() + CODE_SECONDS,
    )
    return RedirectResponse(f"{back}?{urlencode(told | {'code': code})}", status_code=302)


def _world(request: Request) -> World:
    world: World = request.app.state.world
    return world


def _person(world: World, platform: str, handle: str | None) -> Account | None:
    here = [account for (name, _), account in world.accounts.items() if name == platform]
    return next((a for a in reversed(here) if handle is None or a.handle == handle), None)


@router.post("/mastodon/api/v1/apps")
async def register(request: Request) -> Response:
    """Register a client with this server."""
    form = await _form(request)
    told = {"id": "1", "name": form.get("client_name", ""), "redirect_uri": form.get("redirect_uris", "")}
    keys = {"client_id": secrets.token_urlsafe(8), "client_secret": secrets.token_urlsafe(16)}
    return JSONResponse(told | keys)


@router.post("/x/2/oauth2/token")
@router.post("/linkedin/oauth/v2/accessToken")
@router.post("/mastodon/oauth/token")
async def token(request: Request) -> Response:
    """Trade a code, or a refresh token that is good for one use, for tokens."""
    world, form = _world(request), await _form(request)
    platform = request.url.path.split("/")[1]
    if platform == "x" and not request.headers.get("authorization", "").startswith("Basic "):
        return _oauth_error("unauthorized_client", "Missing valid authorization header", 401)
    if form.get("grant_type") == "refresh_token":
        return await _refresh(request, world, platform, form.get("refresh_token", ""))
    account = _redeem(world, platform, form)
    if account is None:
        return _oauth_error("invalid_grant", "The code is unknown, expired or not meant for this client")
    return JSONResponse(_granted(platform, account))


async def _refresh(request: Request, world: World, platform: str, refresh_token: str) -> Response:
    account = next(
        (a for (name, _), a in world.accounts.items() if name == platform and refresh_token in a.refresh),
        None,
    )
    if account is None:
        return _oauth_error("invalid_request", "Value passed for the token was invalid.")

    def work(_: World, who: Account) -> Response:
        if who.status != "active":
            return _oauth_error("invalid_request", "Value passed for the token was invalid.")
        who.refresh.discard(refresh_token)
        return JSONResponse(_granted(platform, who))

    return await serve(request, MANNERS[platform], "refresh", work, account=account)


def _granted(platform: str, account: Account) -> dict[str, Any]:
    seconds = LIVES[platform]
    access, refresh = account.grant(seconds)
    told: dict[str, Any] = {"access_token": access, "token_type": "bearer", "scope": "all"}
    if platform == "mastodon":
        return told | {"created_at": int(time.time())}
    return told | {"expires_in": int(seconds), "refresh_token": refresh}


def _redeem(world: World, platform: str, form: Mapping[str, str]) -> Account | None:
    code = world.codes.pop(form.get("code", ""), None)
    if code is None or code.platform != platform or code.expires_at < time.time():
        return None
    if code.redirect_uri != form.get("redirect_uri"):
        return None
    if code.challenge is not None and code.challenge != _challenge(form.get("code_verifier", "")):
        return None
    return world.accounts[platform, code.handle]


def _challenge(verifier: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()


def _oauth_error(name: str, description: str, status: int = 400) -> JSONResponse:
    return JSONResponse({"error": name, "error_description": description}, status_code=status)


async def _form(request: Request) -> dict[str, str]:
    form, _ = await read_form(request)
    return dict(request.query_params) | form


@router.api_route("/facebook/v25.0/oauth/access_token", methods=["GET", "POST"])
@router.post("/instagram/oauth/access_token")
@router.post("/threads/oauth/access_token")
async def short_token(request: Request) -> Response:
    """Trade a code for a token that lives an hour; Facebook trades that here for a long one as well."""
    world, form = _world(request), await _form(request)
    platform = request.url.path.split("/")[1]
    if form.get("grant_type") == "fb_exchange_token":
        return _longer(world, platform, form.get("fb_exchange_token", ""))
    account = _redeem(world, platform, form)
    if account is None:
        return graph_error(100, "This authorization code has been used or is not valid.")
    access, _ = account.grant(HOUR)
    if platform == "facebook":
        return JSONResponse({"access_token": access, "token_type": "bearer", "expires_in": int(HOUR)})
    return JSONResponse({"access_token": access, "user_id": account.identifier, "permissions": ["all"]})


@router.get("/instagram/access_token")
@router.get("/threads/access_token")
async def long_token(request: Request) -> Response:
    """Trade a short-lived token for one that lives for sixty days."""
    platform = request.url.path.split("/")[1]
    if "client_secret" not in request.query_params:
        return graph_error(101, "Missing client_secret parameter")
    return _longer(_world(request), platform, request.query_params.get("access_token", ""))


def _longer(world: World, platform: str, access_token: str) -> Response:
    account = world.holder(platform, access_token)
    if account is None or account.access[access_token] < time.time():
        return graph_error(190, "Error validating access token: Session has expired", 463)
    access, _ = account.grant(LIVES[platform])
    seconds = int(LIVES[platform])
    return JSONResponse({"access_token": access, "token_type": "bearer", "expires_in": seconds})


@router.get("/instagram/refresh_access_token")
@router.get("/threads/refresh_access_token")
async def refresh_itself(request: Request) -> Response:
    """Trade a long-lived token that has not ended for another."""
    world, platform = _world(request), request.url.path.split("/")[1]
    access_token = request.query_params.get("access_token", "")
    account = world.holder(platform, access_token)
    if account is None:
        return graph_error(190, "Invalid OAuth access token - Cannot parse access token")

    def work(here: World, _: Account) -> Response:
        return _longer(here, platform, access_token)

    return await serve(request, MANNERS[platform], "refresh", work, account=account)
