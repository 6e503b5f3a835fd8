"""Changes of resources: entity tags, removal and restoring, what can never be sent."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID

import httpx
import psycopg.errors
import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import ProgrammingError

from models.campaign import Campaign
from models.organization import Tenant
from models.session import Database, tenant_session
from tests.integration.intake.problems import fields, refused
from tests.integration.intake.resources.conftest import CAMPAIGNS

Headers = dict[str, str]
Made = Callable[..., dict[str, Any]]

SOME_ID = "01a20765-0000-7000-8000-000000000002"


def test_a_tag_stays_while_nothing_changes_and_then_is_another(
    client: httpx.Client, as_acme: Headers, made: Made
) -> None:
    campaign = made()
    path, tag = campaign["path"], campaign["etag"]
    same = client.get(path, headers=as_acme | {"If-None-Match": f'"other", W/{tag}'})
    assert (same.status_code, same.content, same.headers["etag"]) == (304, b"", tag)
    assert client.patch(path, json={}, headers=as_acme).headers["etag"] == tag
    changed = client.patch(path, json={"name": "Summer"}, headers=as_acme | {"If-Match": tag})
    assert changed.headers["etag"] != tag
    now = client.get(path, headers=as_acme | {"If-None-Match": tag})
    assert (now.status_code, now.headers["etag"]) == (200, changed.headers["etag"])


@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
def test_what_was_changed_meanwhile_is_not_changed_again(
    client: httpx.Client, as_acme: Headers, made: Made, method: str
) -> None:
    campaign = made()
    path, stale = campaign["path"], campaign["etag"]
    fresh = client.patch(path, json={"name": "Summer"}, headers=as_acme).headers["etag"]
    for condition in (stale, f"W/{fresh}", f'{stale}, "other"'):
        answer = client.request(method, path, json={"name": "X"}, headers=as_acme | {"If-Match": condition})
        assert fields(refused(answer, 412)) == [(None, "If-Match")]
        assert answer.headers["etag"] == fresh
    malformed = client.request(method, path, json={}, headers=as_acme | {"If-Match": "abc"})
    assert fields(refused(malformed, 422)) == [(None, "If-Match")]
    assert client.get(path, headers=as_acme).json()["name"] == "Summer"
    for_sure = client.request(method, path, json={}, headers=as_acme | {"If-Match": f"{stale}, {fresh}"})
    assert for_sure.is_success


def test_of_many_who_change_one_version_at_once_one_wins(
    waiting: Callable[[int], None],
    client: httpx.Client,
    as_acme: Headers,
    acme: Tenant,
    database: Database,
    made: Made,
) -> None:
    campaign = made()
    headers = as_acme | {"If-Match": campaign["etag"]}

    def change(n: int) -> httpx.Response:
        return client.patch(campaign["path"], json={"name": f"By {n}"}, headers=headers)

    with ThreadPoolExecutor(6) as pool, tenant_session(database, acme.organization_id) as session:
        # All have come as far as they can while the row is held: each has read it, were it not for its lock.
        session.execute(select(Campaign).where(Campaign.id == UUID(campaign["id"])).with_for_update())
        sent = [pool.submit(change, n) for n in range(6)]
        waiting(6)
        session.rollback()
        answers = [each.result() for each in sent]
    won = [answer for answer in answers if answer.status_code == 200]
    assert len(won) == 1
    assert sum(answer.status_code == 412 for answer in answers) == 5
    assert client.get(campaign["path"], headers=as_acme).json() == won[0].json()


def test_what_is_removed_is_listed_apart_and_comes_back_as_it_was(
    client: httpx.Client, as_acme: Headers, as_globex: Headers, made: Made
) -> None:
    campaign = made(description="of May")
    path = campaign["path"]
    assert client.delete(path, headers=as_acme).status_code == 204
    refused(client.get(path, headers=as_acme), 404)
    gone = client.get(CAMPAIGNS, params={"deleted": True}, headers=as_acme).json()["items"]
    assert [(row["id"], row["deleted_at"] is not None) for row in gone] == [(campaign["id"], True)]
    refused(client.post(f"{path}/restore", headers=as_globex), 404)
    for _ in range(2):
        back = client.post(f"{path}/restore", headers=as_acme)
        assert back.status_code == 200
        assert (back.json()["description"], back.json()["deleted_at"]) == ("of May", None)
    assert client.get(path, headers=as_acme).json() == back.json()


def test_what_comes_back_needs_room_in_the_plan(
    client: httpx.Client, organization: Callable[..., Tenant], sign: Callable[..., Headers]
) -> None:
    headers = sign(organization(plan="starter"))
    paths = [
        client.post(CAMPAIGNS, json={"name": str(n)}, headers=headers).headers["location"] for n in range(5)
    ]
    assert client.delete(paths[0], headers=headers).status_code == 204
    assert client.post(CAMPAIGNS, json={"name": "5"}, headers=headers).status_code == 201
    assert refused(client.post(f"{paths[0]}/restore", headers=headers), 403)["meter"] == "campaigns"
    assert client.delete(paths[1], headers=headers).status_code == 204
    assert client.post(f"{paths[0]}/restore", headers=headers).status_code == 200


BODIES: dict[tuple[str, str], dict[str, Any]] = {
    ("POST", "/api/v1/campaigns"): {"name": "A"},
    ("POST", "/api/v1/users"): {"email": "ann@example.org"},
    ("POST", "/api/v1/content/texts"): {"title": "A", "body": "B"},
    ("POST", "/api/v1/branding/domains"): {"domain": "a.example.org"},
    ("PATCH", f"/api/v1/campaigns/{SOME_ID}"): {},
    ("PATCH", f"/api/v1/users/{SOME_ID}"): {},
    ("PATCH", f"/api/v1/content/media/{SOME_ID}"): {},
    ("PATCH", "/api/v1/organization"): {},
    ("PATCH", "/api/v1/subscription"): {"plan": "starter"},
    ("PUT", "/api/v1/settings/display.locale"): {"value": "de"},
    ("PUT", "/api/v1/features/basic_social"): {"on": True},
    ("PUT", "/api/v1/branding"): {},
}
OURS = (
    *("organization_id", "id", "created_at", "updated_at", "deleted_at", "email_norm", "status_detail"),
    *("plan_overrides", "token", "verified_at", "storage_key", "byte_size", "anchor_date", "key"),
)


@pytest.mark.parametrize(("method", "path"), BODIES, ids=lambda part: part.replace(SOME_ID, "ID"))
def test_what_is_ours_to_say_cannot_be_sent(
    client: httpx.Client, as_globex: Headers, method: str, path: str
) -> None:
    sent = BODIES[method, path] | dict.fromkeys(OURS, SOME_ID)
    document = refused(client.request(method, path, json=sent, headers=as_globex), 422)
    assert {field for _, field in fields(document)} == set(OURS)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE campaigns SET organization_id = organization_id",
        "UPDATE users SET id = id",
        "UPDATE users SET created_at = now()",
        "UPDATE custom_domains SET domain = 'other.example.org'",
        "UPDATE custom_domains SET token = 'known'",
    ],
)
def test_the_application_itself_may_not_write_them(database: Database, acme: Tenant, statement: str) -> None:
    with (
        pytest.raises(ProgrammingError) as caught,
        tenant_session(database, acme.organization_id) as session,
    ):
        session.execute(text(statement))
    assert isinstance(caught.value.orig, psycopg.errors.InsufficientPrivilege)
