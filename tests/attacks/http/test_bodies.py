"""Attempts by bodies: columns nobody asked for, bytes no text may have, numbers no column takes."""

import itertools
import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import psycopg
import pytest
from psycopg import sql
from sqlalchemy.orm import Session
from starlette.types import ASGIApp, Receive, Scope, Send
from uuid_utils.compat import uuid7

import intake.ingest.receiver
import intake.resource.repository
from intake.auth import Caller
from models.organization import Organization, load_tenant
from models.quota import LimitReachedError, Quota
from models.session import tenant_session
from tests.attacks.http.careless import answer, behind
from tests.integration.intake.problems import INTERNALS
from tests.support.specimen import Document, Sample
from tests.support.two_tenants import Side, World

API = "/api/v1"
UNASKED = {
    "organization_id": "{theirs}",
    "id": "0193b1a0-0000-7000-8000-000000000001",
    "created_at": "2000-01-01T00:00:00Z",
    "deleted_at": "2000-01-01T00:00:00Z",
    "created_by": "somebody",
    "permissions": ["manage_users"],
    "plan_overrides": {"weight": 1000},
    "is_admin": True,
}
HUGE = 10**40
DEEP = 20_000
Mutation = Callable[[Any], Any]
TEXTS: dict[str, Mutation] = {
    "a null byte": lambda text: f"{text}\x00",
    "half a character": lambda _: "\ud800",
    "a megabyte": lambda _: "x" * 1_000_000,
    "markup of a template": lambda _: "{{7*7}}${7*7}<%= 7*7 %>",
    "the end of a statement": lambda _: "'; DROP TABLE jobs; --",
}
NUMBERS: dict[str, Mutation] = {
    "too large": lambda _: HUGE,
    "too small": lambda _: -HUGE,
    "infinite": lambda _: float("inf"),
    "no number": lambda _: float("nan"),
}


@pytest.fixture(scope="module")
def bodies(world: World) -> list[Sample]:
    """A well-formed request for every route with a JSON body."""
    document = Document(world.app.openapi())
    pick = lambda name: (world.mine.made.get(name) or [str(uuid7())])[0]  # noqa: E731 - says it at once
    return [sample for sample in document.samples(pick) if "json" in (sample.media_type or "")]


async def naive(app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
    """Write into the table of campaigns whatever the body says, as its columns, before anybody looks."""
    if (scope["method"], scope["path"]) != ("POST", f"{API}/campaigns"):
        await app(scope, receive, send)
        return
    raw = b""
    while (message := await receive()).get("more_body", False):
        raw += message["body"]
    try:
        row = json.loads(raw + message["body"])
        _insert(row)
    except (psycopg.Error, RecursionError, ValueError, TypeError) as error:
        await answer(send, 500, f"{type(error).__name__}: {error}".encode("utf-8", "replace"))
    else:
        await answer(send, 201, json.dumps({"id": row["id"]}).encode(), {"Content-Type": "application/json"})


NAIVE_URL: list[str] = []


def _insert(row: dict[str, Any]) -> None:
    columns = sql.SQL(", ").join(map(sql.Identifier, row))
    values = sql.SQL(", ").join(sql.Placeholder() for _ in row)
    with psycopg.connect(NAIVE_URL[0]) as connection:
        connection.execute(
            sql.SQL("INSERT INTO campaigns ({}) VALUES ({})").format(columns, values), list(row.values())
        )


@pytest.fixture(autouse=True)
def naive_database(world: World) -> Iterator[None]:
    assert world.urls.superuser_url is not None
    NAIVE_URL[:] = [world.urls.superuser_url]
    yield
    NAIVE_URL.clear()


def send(world: World, sample: Sample, content: bytes) -> httpx.Response:
    headers = world.mine.headers() | {"Content-Type": "application/json"}
    return world.client.request(sample.method, sample.target, content=content, headers=headers)


def campaign(world: World, **fields: Any) -> bytes:
    whole = {"organization_id": str(world.mine.organization_id), "id": str(uuid7()), "name": "n"} | fields
    return json.dumps(whole).encode()


def names_of(world: World, side: Side) -> set[str]:
    with world.superuser() as connection:
        query = "SELECT name FROM campaigns WHERE organization_id = %s"
        return {row["name"] for row in connection.execute(query, [side.organization_id])}


def test_a_body_puts_nothing_into_another_tenant(world: World) -> None:
    body = campaign(world, organization_id=str(world.theirs.organization_id), name="planted")

    def attempt() -> bool:
        world.client.post(f"{API}/campaigns", content=body, headers=world.mine.headers())
        return "planted" in names_of(world, world.theirs)

    assert not attempt()
    with behind(naive):
        assert attempt()


@pytest.mark.parametrize("name", UNASKED)
def test_no_body_takes_a_field_that_it_does_not_declare(
    world: World, bodies: list[Sample], name: str
) -> None:
    """Each writable body of the document; the naive copy takes whatever the table has a column for."""
    value = str(world.theirs.organization_id) if name == "organization_id" else UNASKED[name]

    def refused(sample: Sample) -> bool:
        shown = send(world, sample, json.dumps({**sample.body, name: value}).encode())
        return shown.status_code == 422 and any(name in each["field"] for each in shown.json()["errors"])

    objects = [one for one in bodies if isinstance(one.body, dict) and name not in _declared(world, one)]
    assert len(objects) >= 30
    with behind(naive):
        taken = world.client.post(f"{API}/campaigns", content=campaign(world), headers=world.mine.headers())
        assert taken.status_code == 201
    assert [f"{one.method} {one.route}" for one in objects if not refused(one)] == []


def _declared(world: World, sample: Sample) -> str:
    operation = world.app.openapi()["paths"][sample.route][sample.method.lower()]
    document = Document(world.app.openapi())
    return json.dumps(document.resolve(operation["requestBody"]["content"]["application/json"]["schema"]))


def leaves(value: Any, kind: type) -> Iterator[list[Any]]:
    """Yield the way to each leaf of *kind*."""
    match value:
        case dict():
            for name, inner in value.items():
                yield from ([name, *rest] for rest in leaves(inner, kind))
        case list():
            for place, inner in enumerate(value):
                yield from ([place, *rest] for rest in leaves(inner, kind))
        case _:
            if type(value) is kind:
                yield []


def changed(value: Any, way: list[Any], mutation: Mutation) -> Any:
    """Return *value* with the leaf at the end of *way* another."""
    if not way:
        return mutation(value)
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[way[0]] = changed(value[way[0]], way[1:], mutation)
    return copy


def broken_by(world: World, bodies: list[Sample], mutation: Mutation, kind: type) -> list[str]:
    """Return what a mutated body breaks: answers that are our fault, or that show what is inside."""
    found = []
    for sample in bodies:
        for way in leaves(sample.body, kind):
            content = json.dumps(changed(sample.body, way, mutation)).encode()
            shown = send(world, sample, content)
            # 502: a platform did not answer.
            if shown.status_code >= 500 and shown.status_code != 502:
                found.append(f"{sample.method} {sample.route} {way}: {shown.status_code}")
            if shown.is_error and INTERNALS.search(shown.text.replace(sample.path, "")):
                found.append(f"{sample.method} {sample.route} {way}: {shown.text}")
    return found


@pytest.mark.parametrize("name", TEXTS)
def test_no_text_breaks_a_route(world: World, bodies: list[Sample], name: str) -> None:
    if name in {"a null byte", "half a character"}:
        body = campaign(world, name=TEXTS[name]("n"))
        with behind(naive):
            shown = world.client.post(f"{API}/campaigns", content=body, headers=world.mine.headers())
            assert shown.status_code == 500
    assert broken_by(world, bodies, TEXTS[name], str) == []


@pytest.mark.parametrize("name", NUMBERS)
def test_no_number_breaks_a_route(world: World, bodies: list[Sample], name: str) -> None:
    body = campaign(world, budget_cents=NUMBERS[name](1))
    with behind(naive):
        shown = world.client.post(f"{API}/campaigns", content=body, headers=world.mine.headers())
        assert shown.status_code == 500
    numbers = [one.with_(body=one.body | {"budget_cents": 1}) for one in bodies if "campaigns" in one.route]
    every = [one for one in (*bodies, *numbers) if isinstance(one.body, dict)]
    assert broken_by(world, every, NUMBERS[name], int) == []


@pytest.mark.parametrize("open_", ['{"a":', "["])
def test_no_depth_breaks_a_route(world: World, bodies: list[Sample], open_: str) -> None:
    deep = (open_ * DEEP).encode()
    with behind(naive):
        shown = world.client.post(f"{API}/campaigns", content=deep, headers=world.mine.headers())
        assert shown.status_code == 500
        assert INTERNALS.search(shown.text) or "Recursion" in shown.text
    for sample in bodies:
        assert send(world, sample, deep).status_code in {403, 404, 422}


def test_of_a_name_that_stands_twice_what_is_checked_is_what_is_kept(world: World) -> None:
    """Two readers of one text may each take another of the two."""
    twice = b'{"name": "good", "name": ""}'

    def attempt() -> bool:
        shown = world.client.post(f"{API}/campaigns", content=twice, headers=world.mine.headers())
        return shown.is_success

    async def checks_the_first(app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        async def first() -> dict[str, Any]:
            await receive()
            return {"type": "http.request", "body": b'{"name": "good"}', "more_body": False}

        await app(scope, first, send)

    with behind(checks_the_first):
        assert attempt()
    assert not attempt()


@pytest.mark.parametrize("twin", ["KATE@example.org", " kate@example.org ", "\u212aate@example.org"])
def test_an_address_has_no_twin(world: World, twin: str) -> None:
    """The last begins with the sign of Kelvin, whose small letter is a k."""
    headers = world.mine.headers()
    first = world.client.post(
        f"{API}/users", json={"email": "kate@example.org", "role": "viewer"}, headers=headers
    )
    assert first.status_code in {201, 409}, first.text
    assert twin != "kate@example.org"  # who compares as it stands, takes it for another
    second = world.client.post(f"{API}/users", json={"email": twin, "role": "owner"}, headers=headers)
    assert second.status_code in {409, 422}, second.text


PRIVATE = (
    *(
        "http://127.0.0.1/",
        "https://127.0.0.1/",
        "https://[::1]/",
        "https://169.254.169.254/latest/meta-data",
    ),
    *(
        "https://10.0.0.1/",
        "https://localhost/",
        "https://2130706433/",
        "https://0x7f.1/",
        "https://[::ffff:7f00:1]/",
    ),
    *(
        "https://metadata.internal/",
        "file:///etc/passwd",
        "gopher://example.org/",
        "https://user:pw@example.org/",
    ),
)


@pytest.mark.parametrize("url", PRIVATE)
def test_no_webhook_leads_into_our_own_network(
    world: World, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    def attempt() -> bool:
        body = {"url": url}
        return (
            world.client.post(f"{API}/webhooks", json=body, headers=world.mine.headers()).status_code != 422
        )

    if url.startswith("https://") and "@" not in url:
        careless = world.settings.model_copy(update={"webhooks_to_private_addresses": True})
        with monkeypatch.context() as broken:
            broken.setattr(intake.ingest.receiver, "get_settings", lambda: careless)
            assert attempt()
    assert not attempt()


def test_many_at_once_get_no_more_than_the_plan_allows(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def attempt() -> bool:
        side = _starter(world)
        headers = side.headers()

        def create(number: int) -> int:
            body = {"name": f"campaign {number}"}
            return world.client.post(f"{API}/campaigns", json=body, headers=headers).status_code

        assert [create(number) for number in range(3)] == [201] * 3
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(create, range(3, 11)))
        return len(names_of(world, side)) > 5

    looked, together = itertools.count(1), threading.Event()

    def without_lock(session: Session, caller: Caller, meter: str, more: int = 1) -> None:
        allowance = Quota(session, caller.tenant).check_limit(meter)
        if allowance.used == 3:
            # One more than there is room for sees the room before any of them takes it.
            if next(looked) == 3:
                together.set()
            together.wait(60)
        if not allowance.covers(more):
            raise LimitReachedError(meter, 5)

    with monkeypatch.context() as broken:
        broken.setattr(intake.resource.repository, "make_room", without_lock)
        broken.setattr(intake.resource.repository.Repository, "take_turn", lambda *_, **__: None)
        assert attempt()
    assert not attempt()


def _starter(world: World) -> Side:
    organization_id, database = uuid7(), world.app.state.database
    with tenant_session(database, organization_id) as session:
        session.add(Organization(organization_id=organization_id, name="Small", plan="starter"))
    tenant = load_tenant(database, organization_id)
    assert tenant is not None
    return Side(tenant, "zqsmallqz", world.settings)
