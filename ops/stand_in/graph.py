"""How Meta's interfaces answer: Graph errors, usage headers, pages of rows."""

import math
import secrets
import time
from datetime import UTC, datetime
from typing import Any

import orjson
from fastapi import Request, Response
from fastapi.responses import JSONResponse

from ops.stand_in.fault import FaultKind
from ops.stand_in.serve import Manner
from ops.stand_in.world import Account


def graph_error(code: int, message: str, subcode: int = 0, **more: Any) -> JSONResponse:
    """Return an error; its code says what its status does not."""
    headers = more.pop("headers", None)
    error: dict[str, Any] = {"message": message, "type": "OAuthException", "code": code}
    error |= {"error_subcode": subcode} if subcode else {}
    error["fbtrace_id"] = secrets.token_urlsafe(8)
    return JSONResponse({"error": error | more}, status_code=400, headers=headers)


def usage(account: Account, resets_at: float | None = None) -> dict[str, str]:
    """Return the header that says how much of its calls a business has used, and when it may go on."""
    minutes = 0 if resets_at is None else max(1, math.ceil((resets_at - time.time()) / 60))
    case = {
        "type": "pages",
        "call_count": 0 if resets_at is None else 100,
        "total_cputime": 0,
        "total_time": 0,
        "estimated_time_to_regain_access": minutes,
    }
    return {"X-Business-Use-Case-Usage": orjson.dumps({account.identifier: [case]}).decode()}


def unknown_token() -> Response:
    """Return what a token gets that was never granted."""
    return graph_error(190, "Invalid OAuth access token - Cannot parse access token")


def missing(key: str) -> Response:
    """Return what an id gets that is not there, or not the caller's."""
    words = f"Unsupported get request. Object with ID '{key}' does not exist"
    return graph_error(100, words, 33)


def manner_of(platform: str) -> Manner:
    """Return how one of Meta's platforms refuses."""
    is_in_steps = platform != "facebook"

    def refuse(  # noqa: PLR0911 - one per refusal
        kind: FaultKind, account: Account, resets_at: float
    ) -> Response | None:
        match kind:
            case FaultKind.EXPIRED_TOKEN:
                return graph_error(190, "Error validating access token: Session has expired", 463)
            case FaultKind.REVOKED:
                words = "Error validating access token: The user has not authorized application"
                return graph_error(190, words, 458)
            case FaultKind.RATE_LIMIT:
                words = "(#32) Page request limit reached"
                return graph_error(32, words, headers=usage(account, resets_at))
            case FaultKind.TAKEDOWN if is_in_steps:
                return graph_error(25, "The user is restricted", 2207050)
            case FaultKind.TAKEDOWN:
                return graph_error(368, "You are temporarily blocked for policies violations")
            case FaultKind.REFUSED:
                return graph_error(100, "Invalid parameter", 2207010 if is_in_steps else 0)
            case FaultKind.DUPLICATE if not is_in_steps:
                return graph_error(506, "Duplicate status message")
            case FaultKind.STALE if is_in_steps:
                return graph_error(24, "The media container has expired", 2207008)
            case _:
                return None

    return Manner(platform, unknown_token, refuse)


def moment(seconds: float) -> str:
    """Return a moment as Graph writes it."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S+0000")


def page_of(request: Request, rows: list[dict[str, Any]]) -> JSONResponse:
    """Return one page of rows, with the cursor of the next."""
    size = int(request.query_params.get("limit", "25"))
    start = int(request.query_params.get("after", "0"))
    page = rows[start : start + size]
    body: dict[str, Any] = {"data": page}
    if start + size < len(rows):
        following = f"{request.url.replace_query_params(after=str(start + size))}"
        body["paging"] = {"cursors": {"before": str(start), "after": str(start + size)}, "next": following}
    return JSONResponse(body)
