"""Many changes in one request: all or none, or each by itself, and never a deadlock."""

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from models.organization import Tenant
from tests.integration.intake.problems import fields, refused
from tests.integration.intake.resources.conftest import CAMPAIGNS, at_once

Headers = dict[str, str]
Made = Callable[..., dict[str, Any]]

BULK = f"{CAMPAIGNS}/bulk"
SOME_ID = "01a20765-0000-7000-8000-000000000002"


def names(client: httpx.Client, headers: Headers) -> list[str]:
    rows = client.get(CAMPAIGNS, params={"sort": "name"}, headers=headers).json()["items"]
    return [row["name"] for row in rows]


def test_all_is_done_in_one_transaction(client: httpx.Client, as_acme: Headers, made: Made) -> None:
    a, b, c = (made(name) for name in "abc")
    client.delete(c["path"], headers=as_acme)
    body = {
        "delete": [{"id": a["id"], "if_match": a["etag"]}],
        "restore": [c["id"]],
        "change": [{"id": b["id"], "set": {"name": "b2"}, "if_match": b["etag"]}],
        "create": [{"name": "d"}, {"name": "e"}],
    }
    answer = client.post(BULK, json=body, headers=as_acme).json()
    assert [(r["item"], r["status"]) for r in answer["results"]] == [
        ("delete[0]", 204),
        ("restore[0]", 200),
        ("change[0]", 200),
        ("create[0]", 201),
        ("create[1]", 201),
    ]
    assert answer["refused"] == 0
    assert names(client, as_acme) == ["b2", "c", "d", "e"]
    changed = answer["results"][2]
    read = client.get(b["path"], headers=as_acme)
    assert (changed["now"], changed["etag"]) == (read.json(), read.headers["etag"])


NEW = {"name": "new"}
SPOILED: dict[str, tuple[Callable[[str], dict[str, Any]], int, str]] = {
    "absent": (lambda _: {"create": [NEW], "change": [{"id": SOME_ID, "set": {}}]}, 404, "change[0]"),
    "never there": (lambda _: {"create": [NEW], "restore": [SOME_ID]}, 404, "restore[0]"),
    "stale": (
        lambda kept: {"create": [NEW], "delete": [{"id": kept, "if_match": '"stale"'}]},
        412,
        "delete[0].If-Match",
    ),
    "against a rule": (
        lambda kept: {
            "create": [NEW],
            "change": [{"id": kept, "set": {"starts_at": "2026-02-01T00:00:00Z"}}],
        },
        422,
        "change[0].period",
    ),
    "bad value": (lambda _: {"create": [NEW, {"name": ""}]}, 422, "create[1].name"),
    "not theirs to say": (lambda _: {"create": [NEW, {"name": "x", "id": SOME_ID}]}, 422, "create[1].id"),
    "twice": (lambda kept: {"create": [NEW], "delete": [{"id": kept}], "restore": [kept]}, 422, "body"),
    "nothing": (lambda _: {}, 422, "body"),
    "too many": (lambda _: {"create": [NEW] * 501}, 422, "body"),
}


@pytest.mark.parametrize("why", SPOILED)
def test_all_or_none_is_none_when_one_is_refused_and_names_it(
    client: httpx.Client, as_acme: Headers, made: Made, why: str
) -> None:
    kept = made("kept", ends_at="2026-01-01T00:00:00Z")
    body, status, field = SPOILED[why]
    document = refused(client.post(BULK, json=body(kept["id"]), headers=as_acme), status)
    assert fields(document) == [(None, field)]
    assert names(client, as_acme) == ["kept"]
    assert client.get(kept["path"], headers=as_acme).headers["etag"] == kept["etag"]


def test_each_by_itself_does_what_can_be_done_and_tells_the_rest(
    client: httpx.Client, organization: Callable[..., Tenant], sign: Callable[..., Headers]
) -> None:
    headers = sign(organization(plan="starter"))
    first = client.post(CAMPAIGNS, json={"name": "0", "ends_at": "2026-01-01T00:00:00Z"}, headers=headers)
    body = {
        "atomic": False,
        "change": [
            {"id": SOME_ID, "set": {"name": "x"}},
            {"id": first.json()["id"], "set": {"starts_at": "2026-02-01T00:00:00Z"}},
        ],
        "create": [{"name": str(n)} for n in range(1, 7)],
    }
    answer = client.post(BULK, json=body, headers=headers).json()
    assert [result["status"] for result in answer["results"]] == [404, 422, *[201] * 4, 403, 403]
    assert answer["refused"] == 4
    period, limit = answer["results"][1], answer["results"][-1]
    assert period["errors"] == [{"field": "change[1].period", "message": "is out of range", "index": None}]
    assert limit["error"] == "Resource limit exceeded. Upgrade plan to increase campaigns limit"
    assert names(client, headers) == ["0", "1", "2", "3", "4"]


def test_all_or_none_takes_no_more_than_the_plan_has(
    client: httpx.Client, organization: Callable[..., Tenant], sign: Callable[..., Headers]
) -> None:
    headers = sign(organization(plan="starter"))
    six = {"create": [{"name": str(n)} for n in range(6)]}
    document = refused(client.post(BULK, json=six, headers=headers), 403)
    assert (document["meter"], document["limit"]) == ("campaigns", 5)
    assert names(client, headers) == []


def test_those_who_change_the_same_rows_in_other_orders_wait_and_never_block_each_other(
    client: httpx.Client, as_acme: Headers, made: Made
) -> None:
    there = [made(str(n))["id"] for n in range(12)]

    def change(order: list[str], name: str) -> Callable[[], httpx.Response]:
        body = {"change": [{"id": item_id, "set": {"name": name}} for item_id in order]}
        return lambda: client.post(BULK, json=body, headers=as_acme)

    answers = at_once([change(there if n % 2 else there[::-1], f"by {n}") for n in range(4)])
    assert [answer.status_code for answer in answers] == [200] * 4
    assert len(set(names(client, as_acme))) == 1
