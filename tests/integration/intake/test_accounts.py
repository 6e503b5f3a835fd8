"""Social accounts and posts over HTTP."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx
import pytest
from sqlalchemy import select, update

from config.settings import Settings
from models.organization import Tenant
from models.session import Database, tenant_session
from models.social import AccountStatus, SocialAccount
from tasks.vault import Place, Vault
from tests.integration.intake.problems import fields, refused

Headers = dict[str, str]


ACCOUNT = {"platform": "bluesky", "handle": "acme.test", "access_token": "at-secret", "refresh_token": "rt"}


@pytest.fixture
def account(client: httpx.Client, as_acme: Headers) -> str:
    answer = client.post("/api/v1/social/accounts", json=ACCOUNT, headers=as_acme)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def test_tokens_are_kept_encrypted_and_never_shown(
    client: httpx.Client, as_acme: Headers, acme: Tenant, database: Database, settings: Settings, account: str
) -> None:
    shown = client.get("/api/v1/social/accounts", headers=as_acme).text
    assert account in shown
    assert "token" not in shown
    with tenant_session(database, acme.organization_id) as session:
        row = session.scalars(select(SocialAccount)).one()
    assert row.access_token_encrypted is not None
    assert b"at-secret" not in row.access_token_encrypted
    vault = Vault([settings.credential_secret.get_secret_value().encode()])
    place = Place(acme.organization_id, "social_accounts", "access_token_encrypted", UUID(account))
    assert vault.decrypt(row.access_token_encrypted, place) == "at-secret"


def test_an_account_is_connected_once_until_it_is_disconnected(
    client: httpx.Client, as_acme: Headers, as_globex: Headers, account: str
) -> None:
    refused(client.post("/api/v1/social/accounts", json=ACCOUNT, headers=as_acme), 409)
    assert client.post("/api/v1/social/accounts", json=ACCOUNT, headers=as_globex).status_code == 201
    refused(client.delete(f"/api/v1/social/accounts/{account}", headers=as_globex), 404)
    assert client.delete(f"/api/v1/social/accounts/{account}", headers=as_acme).status_code == 204
    refused(client.delete(f"/api/v1/social/accounts/{account}", headers=as_acme), 404)
    assert client.post("/api/v1/social/accounts", json=ACCOUNT, headers=as_acme).status_code == 201


def test_a_disconnected_account_has_no_tokens_and_does_not_come_back(
    client: httpx.Client, as_acme: Headers, acme: Tenant, database: Database, account: str
) -> None:
    path = f"/api/v1/social/accounts/{account}"
    assert client.delete(path, headers=as_acme).status_code == 204
    with tenant_session(database, acme.organization_id) as session:
        query = select(SocialAccount).execution_options(include_deleted=True)
        row = session.scalars(query).one()
    assert row.deleted_at is not None
    assert (row.access_token_encrypted, row.refresh_token_encrypted) == (None, None)
    refused(client.get(path, headers=as_acme), 404)
    assert client.post(f"{path}/restore", headers=as_acme).status_code == 404
    for act in ("resume", "requeue"):
        refused(client.post(f"{path}/{act}", headers=as_acme), 404)
    removed = client.get("/api/v1/social/accounts", params={"deleted": "true"}, headers=as_acme)
    assert fields(refused(removed, 422)) == [(None, "deleted")]


def test_an_account_is_disconnected_only_as_it_was_seen(
    client: httpx.Client, as_acme: Headers, acme: Tenant, database: Database
) -> None:
    made = client.post("/api/v1/social/accounts", json=ACCOUNT, headers=as_acme)
    path, tag = made.headers["location"], made.headers["etag"]
    assert client.get(path, headers=as_acme | {"If-None-Match": tag}).status_code == 304
    with tenant_session(database, acme.organization_id) as session:
        session.execute(update(SocialAccount).values(status=AccountStatus.PAUSED))
    document = refused(client.delete(path, headers=as_acme | {"If-Match": tag}), 412)
    assert fields(document) == [(None, "If-Match")]
    resumed = client.post(f"{path}/resume", headers=as_acme)
    assert (resumed.json()["status"], resumed.headers["etag"]) == ("active", tag)
    assert client.delete(path, headers=as_acme | {"If-Match": tag}).status_code == 204


def test_accounts_are_listed_by_platform_and_status(
    client: httpx.Client, as_acme: Headers, as_globex: Headers, acme: Tenant, database: Database
) -> None:
    for platform, handle in (("bluesky", "a.test"), ("x", "b"), ("x", "c"), ("x", "d")):
        sent = ACCOUNT | {"platform": platform, "handle": handle}
        assert client.post("/api/v1/social/accounts", json=sent, headers=as_acme).status_code == 201
    with tenant_session(database, acme.organization_id) as session:
        paused = update(SocialAccount).where(SocialAccount.handle == "c")
        session.execute(paused.values(status=AccountStatus.PAUSED))

    def listed(headers: Headers, **asked: Any) -> tuple[list[str], str | None]:
        answer = client.get("/api/v1/social/accounts", params=asked, headers=headers)
        assert answer.status_code == 200, answer.text
        return [each["handle"] for each in answer.json()["items"]], answer.json()["next_cursor"]

    asked = {"platform": "x", "limit": 2, "sort": "created_at"}
    first, cursor = listed(as_acme, **asked)
    assert (first, listed(as_acme, **asked, cursor=cursor)) == (["b", "c"], (["d"], None))
    assert listed(as_acme, status="active") == (["d", "b", "a.test"], None)
    assert listed(as_globex) == ([], None)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"platform": "myspace"}, "platform"),
        ({"access_token": ""}, "access_token"),
        ({"server_url": "http://169.254.169.254/"}, "server_url"),
        ({"status": "active"}, "status"),
    ],
    ids=str,
)
def test_a_bad_account_is_refused_without_repeating_its_token(
    client: httpx.Client, as_acme: Headers, change: dict[str, str], field: str
) -> None:
    answer = client.post("/api/v1/social/accounts", json=ACCOUNT | change, headers=as_acme)
    assert fields(refused(answer, 422)) == [(None, field)]
    assert "at-secret" not in answer.text


def test_a_post_without_a_time_is_a_draft(client: httpx.Client, as_acme: Headers, account: str) -> None:
    post = client.post("/api/v1/social/posts", json={"account_id": account, "text": "Hi"}, headers=as_acme)
    assert post.status_code == 201
    assert (post.json()["state"], post.json()["job_id"]) == ("draft", None)
    assert client.get("/api/v1/jobs", headers=as_acme).json()["items"] == []


def test_a_post_with_a_time_has_its_job(
    client: httpx.Client, as_acme: Headers, as_globex: Headers, account: str
) -> None:
    due = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    body = {"account_id": account, "text": "Hi", "scheduled_at": due}
    post = client.post("/api/v1/social/posts", json=body, headers=as_acme).json()
    assert post["state"] == "queued"
    job = client.get(f"/api/v1/jobs/{post['job_id']}", headers=as_acme).json()
    assert job["state"] == "scheduled"
    assert job["payload"]["post_id"] == post["id"]
    assert datetime.fromisoformat(job["run_at"]) == datetime.fromisoformat(due)
    [listed] = client.get("/api/v1/social/posts", params={"state": "queued"}, headers=as_acme).json()["items"]
    assert listed | {"warnings": []} == post
    refused(client.get(f"/api/v1/social/posts/{post['id']}", headers=as_globex), 404)


def test_a_post_through_another_tenants_account_is_refused(
    client: httpx.Client, as_globex: Headers, account: str
) -> None:
    body = {"account_id": account, "text": "Hi"}
    document = refused(client.post("/api/v1/social/posts", json=body, headers=as_globex), 422)
    assert fields(document) == [(None, "account_id")]
    assert client.get("/api/v1/social/posts", headers=as_globex).json()["items"] == []
