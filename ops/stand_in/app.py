"""The stand-in server as an ASGI application."""

from fastapi import FastAPI

from ops.stand_in import admin, bluesky, mastodon
from ops.stand_in.world import World


def create_app() -> FastAPI:
    """Build a server with no accounts."""
    app = FastAPI(title="Stand-in for social platforms")
    app.state.world = World()
    for module in (admin, bluesky, mastodon):
        app.include_router(module.router)
    return app
