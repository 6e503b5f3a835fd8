"""For the platform that runs us: alive, ready, and the metrics."""

import hmac
import os
from typing import Any, Literal

import redis
import structlog
from fastapi import APIRouter, Request
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector
from pydantic import BaseModel
from sqlalchemy import text
from starlette.responses import Response

from intake.errors import DATABASE_AWAY
from intake.metrics import state_registry
from intake.openapi import problems
from intake.problem import ProblemError, UnauthenticatedError

router = APIRouter(tags=["health"])
log = structlog.get_logger("intake.health")


class Alive(BaseModel):
    status: Literal["alive"] = "alive"


class Ready(BaseModel):
    """`degraded` still takes jobs: they are recorded, and run once Redis is back."""

    status: Literal["ready", "degraded"]
    postgres: Literal["up"] = "up"
    redis: Literal["up", "away"]


@router.get("/healthz", summary="Is the process alive?")
async def alive() -> Alive:
    return Alive()


@router.get("/readyz", summary="Can it take jobs?", responses=problems(500, 503))
def ready(request: Request) -> Ready:
    _check_postgres(request)
    away = not _redis_answers(request)
    return Ready(status="degraded" if away else "ready", redis="away" if away else "up")


def _check_postgres(request: Request) -> None:
    try:
        with request.app.state.database.engine.connect() as connection:
            connection.execute(text("SELECT 1"))
    except DATABASE_AWAY:
        detail = "Not ready: Postgres is away."
        headers = {"Retry-After": "2"}
        extra: dict[str, Any] = {"postgres": "away"}
        raise ProblemError(503, "unavailable", detail, headers=headers, extra=extra) from None


def _redis_answers(request: Request) -> bool:
    try:
        return bool(request.app.state.redis.ping())
    except redis.RedisError as error:
        log.warning("redis away", error=type(error).__name__)
        return False


@router.get("/metrics", summary="Prometheus metrics", response_class=Response)
def metrics(request: Request) -> Response:
    _check_token(request)
    registry: CollectorRegistry = REGISTRY
    if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
        registry = CollectorRegistry()
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call] # ships no types
    state = state_registry(request.app.state)
    return Response(generate_latest(registry) + generate_latest(state), media_type=CONTENT_TYPE_LATEST)


def _check_token(request: Request) -> None:
    token = request.app.state.settings.metrics_token
    shown = request.headers.get("authorization", "").encode()
    if token is not None and not hmac.compare_digest(shown, f"Bearer {token.get_secret_value()}".encode()):
        raise UnauthenticatedError("Metrics are for who has the token of GENIUS_METRICS_TOKEN.", code=None)
