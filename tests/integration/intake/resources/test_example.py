"""The example of a new resource in docs/api.md, run as it stands there."""

import re
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any
from uuid import UUID

import httpx
import psycopg
import pytest
from sqlalchemy import Index, Table
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import Mapped
from sqlalchemy.schema import CreateTable

from config.settings import ROOT, Settings
from intake.app import create_app
from intake.body import BODY_SCHEMAS
from intake.ingest.fields import Body, Long, Short
from intake.resource.declaration import Resource
from intake.resource.router import routes_of
from intake.views.base import View
from models.base import Base, SoftDeleteMixin, TenantMixin, TimestampMixin
from models.user import Permission
from ops.stack import PostgresUrls
from tests.integration.intake.conftest import serving
from tests.integration.intake.problems import fields, refused

Headers = dict[str, str]
SNIPPETS = "/api/v1/snippets"
IMPORTED = {
    "Base": Base,
    "Body": Body,
    "Index": Index,
    "Long": Long,
    "Mapped": Mapped,
    "Permission": Permission,
    "Resource": Resource,
    "Short": Short,
    "SoftDeleteMixin": SoftDeleteMixin,
    "TenantMixin": TenantMixin,
    "TimestampMixin": TimestampMixin,
    "UUID": UUID,
    "View": View,
    "datetime": datetime,
}


def example() -> str:
    page = (ROOT / "docs/api.md").read_text()
    [code] = re.findall(r"### A new resource.*?```python\n(.*?)```", page, re.DOTALL)
    return str(code)


@pytest.fixture
def snippets() -> Iterator[Resource]:
    names: dict[str, Any] = IMPORTED | {"__name__": "example"}
    known = set(Base.metadata.tables), set(BODY_SCHEMAS)
    try:
        exec(example(), names)  # noqa: S102 (our own documentation)
        yield names["SNIPPETS"]
    finally:
        for name in set(Base.metadata.tables) - known[0]:
            Base.metadata.remove(Base.metadata.tables[name])
        for name in set(BODY_SCHEMAS) - known[1]:
            del BODY_SCHEMAS[name]


@pytest.fixture
def client(snippets: Resource, settings: Settings, database_urls: PostgresUrls) -> Iterator[httpx.Client]:
    """An intake with one line more, on a database with one table more."""
    table: Table = snippets.table.__table__  # type: ignore[attr-defined]
    assert database_urls.superuser_url is not None
    with psycopg.connect(database_urls.superuser_url) as connection:
        connection.execute("SET ROLE genius_owner")
        connection.execute(str(CreateTable(table).compile(dialect=postgresql.dialect())).encode())  # type: ignore[no-untyped-call]
        connection.execute("SELECT app.protect('public.snippets')")
    app = create_app(settings)
    app.include_router(routes_of(snippets))
    with serving(settings, app) as url, httpx.Client(base_url=url, timeout=30) as client:
        yield client


def test_the_example_is_a_resource_like_any_other(
    client: httpx.Client, as_acme: Headers, as_globex: Headers, sign: Callable[..., Headers], acme: Any
) -> None:
    assert len([line for line in example().splitlines() if line.strip()]) <= 25

    made = client.post(SNIPPETS, json={"title": "Hello", "body": "World"}, headers=as_acme)
    path, tag = made.headers["location"], made.headers["etag"]
    assert client.get(path, headers=as_acme | {"If-None-Match": tag}).status_code == 304
    changed = client.patch(path, json={"body": None}, headers=as_acme | {"If-Match": tag})
    assert (changed.json()["title"], changed.json()["body"]) == ("Hello", None)
    assert client.patch(path, json={"title": "X"}, headers=as_acme | {"If-Match": tag}).status_code == 412
    many = client.post(f"{SNIPPETS}/bulk", json={"create": [{"title": "B"}, {"title": "C"}]}, headers=as_acme)
    assert [result["status"] for result in many.json()["results"]] == [201, 201]

    assert client.delete(path, headers=as_acme).status_code == 204
    page = client.get(SNIPPETS, params={"limit": 1}, headers=as_acme).json()
    rest = client.get(SNIPPETS, params={"limit": 9, "cursor": page["next_cursor"]}, headers=as_acme).json()
    assert len(page["items"] + rest["items"]) == 2
    assert client.post(f"{path}/restore", headers=as_acme).status_code == 200

    for method, where in (("GET", path), ("PATCH", path), ("DELETE", path), ("POST", f"{path}/restore")):
        refused(client.request(method, where, json={}, headers=as_globex), 404)
    assert client.get(SNIPPETS, headers=as_globex).json()["items"] == []
    viewer = sign(acme, role="viewer")
    assert client.post(SNIPPETS, json={"title": "A"}, headers=viewer).status_code == 403
    sent = {"title": "A", "organization_id": made.json()["id"]}
    assert fields(refused(client.post(SNIPPETS, json=sent, headers=as_acme), 422)) == [
        (None, "organization_id")
    ]
    assert SNIPPETS in client.get("/openapi.json").json()["paths"]
