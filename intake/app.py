"""The intake's ASGI application: ``uvicorn intake.app:app``."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import redis
from fastapi import FastAPI
from starlette.middleware import Middleware

from config.logging import configure_logging
from config.settings import Settings, get_settings
from config.tracing import trace_as
from intake import errors, openapi
from intake.auth.access import listen, open_access
from intake.limits import BodyLimit
from intake.observe import Observe
from intake.rate_limit import RateLimit, open_redis
from intake.routes import ROUTERS
from models.session import open_database
from models.tenant_cache import open_cache
from tasks.vault import make_vault
from worker.publish import Publisher

REDIS_PATIENCE_S = 0.5
"""Health and explanations wait so long for Redis."""

DESCRIPTION = """Send jobs, follow them, and keep what they work on.

Every refusal is a problem document (RFC 9457) that also carries a plain `error`.
What belongs to another organization does not exist for you: 404."""


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    settings: Settings = app.state.settings or get_settings()
    app.state.settings = settings
    configure_logging(settings)
    trace_as("genius-intake")
    # It would log the query, and say again what our own line says.
    logging.getLogger("uvicorn.access").disabled = True
    app.state.database = open_database(settings)
    app.state.redis = redis.Redis.from_url(
        str(settings.redis_url), socket_timeout=REDIS_PATIENCE_S, socket_connect_timeout=REDIS_PATIENCE_S
    )
    counters = open_redis(str(settings.redis_url))
    app.state.rate_limit = RateLimit(counters)
    app.state.publisher = Publisher(settings)
    app.state.vault = make_vault(settings)
    app.state.cache = open_cache(str(settings.redis_url))
    app.state.access = open_access(settings, app.state.database)
    listening = asyncio.create_task(listen(counters, app.state.access.forget))
    try:
        yield
    finally:
        listening.cancel()
        await counters.aclose()
        app.state.redis.close()
        app.state.cache.close()
        app.state.database.engine.dispose()


def create_app(settings: Settings | None = None) -> FastAPI:
    """Build the application; *settings* replace what the environment says."""
    app = FastAPI(
        title="Marketing Genius",
        version="0.1.0",
        description=DESCRIPTION,
        lifespan=_lifespan,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        middleware=[Middleware(Observe), Middleware(BodyLimit)],
    )
    app.state.settings = settings
    errors.install(app)
    openapi.install(app)
    for router in ROUTERS:
        app.include_router(router)
    return app


app = create_app()
