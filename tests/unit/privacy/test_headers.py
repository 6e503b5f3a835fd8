"""What every answer carries: safe headers, and news of a route's end."""

import asyncio
from datetime import date
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from starlette.middleware import Middleware

from intake import errors
from intake.app import create_app
from intake.headers import SAFE, ShortNoticeError, deprecated
from intake.observe import Observe
from intake.problem import NotFoundError


def make_app() -> FastAPI:
    app = FastAPI(middleware=[Middleware(Observe)])
    errors.install(app)

    @app.get("/new")
    def new() -> dict[str, str]:
        return {}

    @app.get("/old", **deprecated(since=date(2026, 1, 1), sunset=date(2026, 12, 31), successor="/new"))
    def old(*, missing: bool = False) -> dict[str, str]:
        if missing:
            raise NotFoundError("thing")
        return {}

    @app.get("/broken")
    def broken() -> None:
        raise RuntimeError

    return app


def ask(app: FastAPI, path: str, *, scheme: str = "http", **headers: str) -> httpx.Response:
    async def call() -> httpx.Response:
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url=f"{scheme}://test") as client:
            return await client.get(path, headers=headers)

    return asyncio.run(call())


@pytest.mark.parametrize("path", ["/new", "/old", "/old?missing=true", "/broken", "/absent"])
def test_every_answer_carries_safe_headers(path: str) -> None:
    answer = ask(make_app(), path)
    assert {name: answer.headers.get(name) for name in SAFE} == dict(SAFE)


def test_only_over_https_browsers_are_told_to_stay_with_it() -> None:
    app = make_app()
    assert "Strict-Transport-Security" not in ask(app, "/new").headers
    assert "Strict-Transport-Security" not in ask(app, "/new", **{"X-Forwarded-Proto": "https"}).headers
    assert (
        ask(app, "/new", scheme="https").headers["Strict-Transport-Security"].startswith("max-age=31536000")
    )


@pytest.mark.parametrize("path", ["/old", "/old?missing=true", "/old?missing=what"])
def test_a_deprecated_route_says_when_it_goes_and_what_to_use(path: str) -> None:
    answer = ask(make_app(), path)
    assert answer.headers["Deprecation"] == "@1767225600"
    assert answer.headers["Sunset"] == "Thu, 31 Dec 2026 00:00:00 GMT"
    assert '</new>; rel="successor-version"' in answer.headers["Link"]
    assert 'rel="deprecation"' in answer.headers["Link"]


def test_other_routes_say_nothing_of_it() -> None:
    assert not {"Deprecation", "Sunset", "Link"} & {name.title() for name in ask(make_app(), "/new").headers}


def test_a_deprecated_route_is_marked_in_the_document() -> None:
    paths: dict[str, Any] = make_app().openapi()["paths"]
    assert paths["/old"]["get"]["deprecated"] is True
    assert "deprecated" not in paths["/new"]["get"]


def test_a_route_cannot_go_sooner_than_was_promised() -> None:
    with pytest.raises(ShortNoticeError, match="promised are 180"):
        deprecated(since=date(2026, 1, 1), sunset=date(2026, 6, 1))


def test_every_route_of_a_tenant_bears_its_version() -> None:
    paths = create_app().openapi()["paths"]
    outside = {path for path in paths if not path.startswith("/api/v1/")}
    assert outside <= {"/healthz", "/readyz", "/metrics", "/media/{token}"} | {
        path for path in outside if path.startswith("/media")
    }
