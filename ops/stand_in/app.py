"""The stand-in server as an ASGI application."""

from fastapi import FastAPI

from ops.stand_in import admin, bluesky, facebook, linkedin, mastodon, oauth, x
from ops.stand_in.container import INSTAGRAM, THREADS, router_of
from ops.stand_in.world import World


def create_app() -> FastAPI:
    """Build a server with no accounts."""
    app = FastAPI(title="Stand-in for social platforms")
    app.state.world = World()
    for module in (admin, oauth, bluesky, mastodon, x, linkedin, facebook):
        app.include_router(module.router)
    for words in (INSTAGRAM, THREADS):
        app.include_router(router_of(words))
    return app
