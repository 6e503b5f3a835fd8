"""What is seen of a request: its id, one log line, its metrics, and safe headers on its answer."""

import re
from collections.abc import Mapping
from time import perf_counter
from typing import Final

import structlog
from prometheus_client import Counter, Histogram
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uuid_utils.compat import uuid7

from intake.headers import headers_of
from intake.problem import ProblemError, response
from intake.rate_limit import tightest
from intake.request_span import describe, request_span
from models.acting import act_as

_SANE_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_QUIET: Final = frozenset({"/healthz", "/readyz", "/metrics"})

REQUESTS = Counter("genius_http_requests_total", "Requests answered.", ["method", "route", "status"])
DURATION = Histogram(
    "genius_http_request_seconds",
    "Time from the request's head to the end of its answer.",
    ["method", "route"],
    buckets=(0.005, 0.025, 0.1, 0.5, 2, 10),  # few: they are multiplied by all routes
)
REFUSALS = Counter(
    "genius_refusals_total", "Requests refused, by problem; for limits, which.", ["problem", "limit"]
)

log = structlog.get_logger("intake.access")


class Observe:
    """Gives each request an id, and logs and counts its answer. Never logs a body, a query or a token."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began = perf_counter()
        request_id = _request_id(scope)
        scope.setdefault("state", {})["request_id"] = request_id
        act_as(request_id=request_id)
        status = 0

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                pace = tightest(scope["state"].get("paces", ()))
                _complete(
                    scope, MutableHeaders(scope=message), request_id, {} if pace is None else pace.headers()
                )
            await send(message)

        with structlog.contextvars.bound_contextvars(request_id=request_id), request_span(scope):
            try:
                await self.app(scope, receive, answer)
            except Exception:
                log.exception("request failed", path=scope["path"])
                if status:
                    raise
                await _failed(request_id, scope["path"])(scope, receive, answer)
            finally:
                _record(scope, status, perf_counter() - began)


def _request_id(scope: Scope) -> str:
    given = Headers(scope=scope).get("x-request-id", "")
    return given if _SANE_REQUEST_ID.fullmatch(given) else uuid7().hex


def _failed(request_id: str, path: str) -> Response:
    """Answer a defect of ours: the log has the traceback under the same request id."""
    problem = ProblemError(500, "internal", "Something went wrong on our side; it has been logged.")
    return response(problem, request_id=request_id, path=path)


def _complete(scope: Scope, headers: MutableHeaders, request_id: str, pace: Mapping[str, str]) -> None:
    headers["X-Request-ID"] = request_id
    for name, value in (*headers_of(scope).items(), *pace.items()):
        headers.setdefault(name, value)


def _record(scope: Scope, status: int, seconds: float) -> None:
    """Label by the route's template, never by the path: labels stay bounded whatever strangers ask for."""
    route: str = getattr(scope.get("route"), "path", None) or "unmatched"
    method = scope["method"] if scope["method"] in _METHODS else "other"
    REQUESTS.labels(method, route, str(status)).inc()
    DURATION.labels(method, route).observe(seconds)
    describe(method=method, route=route, status=status, request_id=scope["state"]["request_id"])
    problem: ProblemError | None = scope["state"].get("problem")
    if problem is not None:
        REFUSALS.labels(problem.slug, problem.extra.get("meter") or problem.extra.get("lane") or "").inc()
    if route not in _QUIET:
        organization_id = scope["state"].get("organization_id")
        log.info(
            "request",
            method=method,
            route=route,
            status=status,
            ms=round(seconds * 1000, 2),
            organization=None if organization_id is None else str(organization_id),
            **({} if problem is None else {"problem": problem.slug}),
        )
