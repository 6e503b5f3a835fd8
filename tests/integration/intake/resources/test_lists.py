"""Lists of resources: pages that hold while rows come, order, filters, cursors that fit one list only."""

from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from tests.integration.intake.problems import fields, refused
from tests.integration.intake.resources.conftest import CAMPAIGNS

Headers = dict[str, str]
Made = Callable[..., dict[str, Any]]


def pages(client: httpx.Client, headers: Headers, **query: Any) -> Iterator[list[dict[str, Any]]]:
    cursor = None
    while True:
        page = client.get(CAMPAIGNS, params=query | ({"cursor": cursor} if cursor else {}), headers=headers)
        assert page.status_code == 200, page.text
        yield page.json()["items"]
        cursor = page.json()["next_cursor"]
        if cursor is None:
            return


@pytest.mark.parametrize("sort", ["-created_at", "created_at", "name", "-name", "updated_at"])
def test_no_row_comes_twice_or_is_left_out_whatever_comes_meanwhile(
    client: httpx.Client, as_acme: Headers, made: Made, sort: str
) -> None:
    # Those of one bulk request have one moment of creation: the id decides among them.
    bulk = {"create": [{"name": name} for name in ("m", "d", "d", "x", "q", "d", "b")]}
    there = client.post(f"{CAMPAIGNS}/bulk", json=bulk, headers=as_acme).json()["results"]
    seen = []
    for page in pages(client, as_acme, sort=sort, limit=2):
        seen += [campaign["id"] for campaign in page]
        if len(seen) < 8:
            for name in ("a", "d", "z"):
                made(name)
    before = {result["id"] for result in there}
    assert len(seen) == len(set(seen))
    assert before <= set(seen)


@pytest.mark.parametrize("column", ["created_at", "updated_at", "name"])
def test_a_list_is_in_the_order_asked_for(
    client: httpx.Client, as_acme: Headers, made: Made, column: str
) -> None:
    for name in ("b", "c", "a"):
        made(name)
    rising, falling = (
        [row[column] for page in pages(client, as_acme, sort=sign + column, limit=1) for row in page]
        for sign in ("", "-")
    )
    assert rising == sorted(rising)
    assert falling == rising[::-1]


def test_filters_narrow_a_list_and_its_next_pages(client: httpx.Client, as_acme: Headers, made: Made) -> None:
    for n in range(3):
        made(f"on {n}", status="active", starts_at=f"2026-0{n + 1}-01T00:00:00Z")
        made(f"off {n}")
    asked = {"status": "active", "starts_since": "2026-01-15T00:00:00Z", "sort": "name", "limit": 1}
    assert [row["name"] for page in pages(client, as_acme, **asked) for row in page] == ["on 1", "on 2"]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"statsu": "active"}, "statsu"),
        ({"status": "running"}, "status"),
        ({"sort": "budget_cents"}, "sort"),
        ({"sort": "name; DROP TABLE users"}, "sort"),
        ({"limit": "0"}, "limit"),
        ({"limit": "201"}, "limit"),
        ({"starts_since": "yesterday"}, "starts_since"),
        ({"starts_since": "9999-12-31T23:59:59-23:00"}, "starts_since"),
        ({"objective": "\x00"}, "objective"),
        ({"organization_id": "01a20765-0000-7000-8000-000000000002"}, "organization_id"),
        ({"cursor": "e30"}, "cursor"),
        ({"cursor": "ü"}, "cursor"),
    ],
    ids=str,
)
def test_what_a_list_does_not_know_is_refused_by_name(
    client: httpx.Client, as_acme: Headers, query: dict[str, str], field: str
) -> None:
    assert fields(refused(client.get(CAMPAIGNS, params=query, headers=as_acme), 422)) == [(None, field)]


def test_a_cursor_fits_the_list_it_came_from_and_no_other(
    client: httpx.Client, as_acme: Headers, as_globex: Headers, made: Made
) -> None:
    for _ in range(3):
        made()
    asked = {"sort": "name", "status": "draft", "limit": 1}
    cursor = client.get(CAMPAIGNS, params=asked, headers=as_acme).json()["next_cursor"]
    again = client.get(CAMPAIGNS, params=asked | {"cursor": cursor, "limit": 2}, headers=as_acme)
    assert len(again.json()["items"]) == 2, "the length of a page is not what list it is"
    for headers, change in (
        (as_globex, {}),
        (as_acme, {"sort": "-name"}),
        (as_acme, {"status": "active"}),
        (as_acme, {"deleted": "true"}),
        (as_acme, {"cursor": cursor[:-2] + ("AA" if cursor[-2:] != "AA" else "BB")}),
    ):
        answer = client.get(CAMPAIGNS, params=asked | {"cursor": cursor} | change, headers=headers)
        assert fields(refused(answer, 422)) == [(None, "cursor")], change
    texts = client.get("/api/v1/content/texts", params={"cursor": cursor}, headers=as_acme)
    assert fields(refused(texts, 422)) == [(None, "cursor")]
