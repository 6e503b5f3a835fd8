"""Nobody can tell whether another tenant's thing exists: not by status, body, headers or statements."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from tests.attacks.http.careless import answer, behind
from tests.support.breach import breach
from tests.support.specimen import Document, Sample
from tests.support.two_tenants import World

OWN = re.compile(r'"(?:request_id|instance)":"[^"]*"')
VARYING = {"date", "x-request-id", "ratelimit-remaining", "ratelimit-reset", "content-length"}


@dataclass(frozen=True)
class Told:
    """What an answer tells, and how many statements it took."""

    status: int
    body: str
    headers: tuple[tuple[str, str], ...]
    statements: int


@contextmanager
def counted(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Count statements rather than time: what takes as many takes as long."""
    count, sound = [0], psycopg.Cursor.execute

    def counting(cursor: Any, *given: Any, **named: Any) -> Any:
        count[0] += 1
        return sound(cursor, *given, **named)

    with monkeypatch.context() as patch:
        patch.setattr(psycopg.Cursor, "execute", counting)
        yield count


def ask(world: World, sample: Sample, ids: dict[str, str], count: list[int]) -> Told:
    before = count[0]
    shown = sample.send(world.client, world.mine.headers())
    body = OWN.sub("", shown.text)
    for one in ids.values():
        body = body.replace(one, "<id>")
    headers = tuple(sorted((k, v) for k, v in shown.headers.items() if k not in VARYING))
    return Told(shown.status_code, body, headers, count[0] - before)


def pairs(world: World) -> Iterator[tuple[Sample, dict[str, str], Sample, dict[str, str]]]:
    """Yield every route that names an id, with one of the other tenant's and with nobody's."""
    document = Document(world.app.openapi())
    for method, route, operation in document.operations():
        if "{" in route and "{version}" not in route and "organization_id" not in route:
            foreign, nobodys = dict[str, str](), dict[str, str]()

            def theirs(name: str, into: dict[str, str] = foreign) -> str:
                into[name] = (world.theirs.made.get(name) or [str(uuid4())])[0]
                return into[name]

            def random(name: str, into: dict[str, str] = nobodys) -> str:
                into[name] = str(uuid4())
                return into[name]

            first = document.sample(method, route, operation, theirs)
            yield first, foreign, document.sample(method, route, operation, random), nobodys


def differing(world: World, count: list[int], *, reading: int | None = None) -> list[str]:
    """Return how answers differ; of the first *reading* routes that read, or of all routes."""
    asked = (
        list(pairs(world)) if reading is None else [p for p in pairs(world) if p[0].method == "GET"][:reading]
    )
    return [found for pair in asked if (found := _difference(world, count, *pair))]


def _difference(
    world: World,
    count: list[int],
    first: Sample,
    foreign: dict[str, str],
    second: Sample,
    nobodys: dict[str, str],
) -> str | None:
    told = _told(world, first, foreign, count), _told(world, second, nobodys, count)
    return None if told[0] == told[1] else f"{first.method} {first.route}: {told[0]} but {told[1]}"


def _told(world: World, sample: Sample, ids: dict[str, str], count: list[int]) -> Told:
    """Ask twice: a connection that is new to the pool takes statements of its own."""
    return min((_ask_anew(world, sample, ids, count) for _ in range(2)), key=lambda told: told.statements)


def _ask_anew(world: World, sample: Sample, ids: dict[str, str], count: list[int]) -> Told:
    """Ask as one of whom nothing is remembered, which would save a statement for two seconds."""
    world.app.state.access.forget(world.mine.organization_id)
    return ask(world, sample, ids, count)


def test_another_tenants_thing_is_as_absent_as_nobodys(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    with counted(monkeypatch) as count:
        assert differing(world, count) == []
        assert count[0] > 100
        assert sum(1 for _ in pairs(world)) >= 50


def test_a_status_that_tells_would_be_seen(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """As of an intake that says 403 for what exists."""

    async def telling(app: Any, scope: Any, receive: Any, send: Any) -> None:
        if any(one in scope["path"] for ids in world.theirs.made.values() for one in ids):
            await answer(send, 403, b"not yours")
        else:
            await app(scope, receive, send)

    with counted(monkeypatch) as count, behind(telling):
        assert len(differing(world, count, reading=5)) == 5


def test_one_statement_more_would_be_seen(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """As of an intake that looks something up only where there is something: time would tell."""
    with counted(monkeypatch) as count:

        async def looking(app: Any, scope: Any, receive: Any, send: Any) -> None:
            count[0] += any(one in scope["path"] for ids in world.theirs.made.values() for one in ids)
            await app(scope, receive, send)

        with behind(looking):
            assert len(differing(world, count, reading=5)) == 5


def test_rows_that_are_seen_would_be_told_apart(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    with counted(monkeypatch) as count, breach(world):
        assert len(differing(world, count, reading=20)) >= 6
