"""Accounts over HTTP: connected by signing in or by app password, again, and by nobody else."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

import httpx
import pytest
from sqlalchemy import select, update

from config.settings import Settings, get_settings
from models.organization import Tenant
from models.session import Database, tenant_session
from models.social import AccountStatus, SocialAccount, SocialAuthorization, SocialClient
from tasks.social_posting.account import held_tokens
from tasks.vault import make_vault
from tests.integration.families.stand_in import StandIn, run_stand_in
from tests.integration.intake.problems import fields, refused

Headers = dict[str, str]
ACCOUNTS = "/api/v1/social/accounts"
BACK = "https://app.example.org/back"
HANDLE = "shop"


@pytest.fixture(scope="module")
def stand_in() -> Iterator[StandIn]:
    with run_stand_in() as stand_in:
        yield stand_in


@pytest.fixture(scope="module")
def settings(settings: Settings, stand_in: StandIn) -> Iterator[Settings]:
    """Send everything to this module's stand-in."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GENIUS_STAND_IN_URL", stand_in.url)
        patch.setenv("GENIUS_SOCIAL_REDIRECT_URLS", f'["{BACK}"]')
        get_settings.cache_clear()
        yield settings.model_copy(update={"stand_in_url": stand_in.url, "social_redirect_urls": (BACK,)})
    get_settings.cache_clear()


@pytest.fixture
def owner(sign: Callable[..., Headers], acme: Tenant) -> Headers:
    """One user of Acme, whoever asks."""
    return sign(acme, user_id=str(uuid4()))


def authorize(client: httpx.Client, headers: Headers, platform: str, **details: Any) -> dict[str, str]:
    answer = client.post(f"{ACCOUNTS}/authorize", json={"platform": platform} | details, headers=headers)
    assert answer.status_code == 200, answer.text
    departing: dict[str, str] = answer.json()
    return departing


def sign_in(departing: dict[str, str]) -> dict[str, str]:
    """Agree at the platform; returns what it adds to the address that it sends the owner back to."""
    answer = httpx.get(departing["authorize_url"], follow_redirects=False, timeout=60)
    assert answer.status_code == 302, answer.text
    assert answer.headers["location"].startswith(BACK)
    query = parse_qs(urlsplit(answer.headers["location"]).query)
    return {"state": query["state"][0], "code": query["code"][0]}


def complete(client: httpx.Client, headers: Headers, came_back: dict[str, str]) -> httpx.Response:
    return client.post(f"{ACCOUNTS}/complete", json=came_back, headers=headers)


def make(stand_in: StandIn, platform: str, handle: str = HANDLE) -> dict[str, Any]:
    granted: dict[str, Any] = stand_in.http.post(
        "/admin/accounts", json={"platform": platform, "handle": handle}
    ).json()
    return granted


def rows(database: Database, tenant: Tenant, table: Any) -> list[Any]:
    with tenant_session(database, tenant.organization_id) as session:
        return list(session.scalars(select(table)))


@pytest.mark.parametrize("platform", ["mastodon", "x", "linkedin", "facebook", "instagram", "threads"])
def test_an_account_is_connected_by_signing_in(
    client: httpx.Client, owner: Headers, acme: Tenant, stand_in: StandIn, database: Database, platform: str
) -> None:
    make(stand_in, platform)
    departing = authorize(client, owner, platform)
    query = parse_qs(urlsplit(departing["authorize_url"]).query)
    assert query["state"] == [departing["state"]]
    if platform in {"mastodon", "x"}:
        assert query["code_challenge_method"] == ["S256"]
    answer = complete(client, owner, sign_in(departing))
    assert answer.status_code == 201, answer.text
    connected = answer.json()["accounts"]
    assert {(each["platform"], each["status"]) for each in connected} == {(platform, "active")}
    row = rows(database, acme, SocialAccount)[0]
    tokens = held_tokens(make_vault(get_settings()), row).tokens
    assert tokens.access.encode() not in row.access_token_encrypted
    assert tokens.access not in answer.text
    assert rows(database, acme, SocialAuthorization) == []


def test_a_state_is_good_once_in_time_and_for_who_asked_for_it(
    client: httpx.Client,
    owner: Headers,
    as_globex: Headers,
    sign: Callable[..., Headers],
    acme: Tenant,
    stand_in: StandIn,
    database: Database,
) -> None:
    make(stand_in, "x")
    came_back = sign_in(authorize(client, owner, "x"))
    for stranger in (sign(acme, user_id=str(uuid4())), as_globex):
        assert fields(refused(complete(client, stranger, came_back), 422)) == [(None, "state")]
    state = came_back["state"]
    forged = came_back | {"state": state[:-2] + ("BB" if state.endswith("AA") else "AA")}
    refused(complete(client, owner, forged), 422)
    assert complete(client, owner, came_back).status_code == 201
    refused(complete(client, owner, came_back), 422)

    late = sign_in(authorize(client, owner, "x"))
    with tenant_session(database, acme.organization_id) as session:
        [away] = session.scalars(select(SocialAuthorization)).all()
        assert timedelta(minutes=9) < away.expires_at - datetime.now(UTC) <= timedelta(minutes=10)
        session.delete(away)
        session.flush()
        values = {
            name: getattr(away, name) for name in ("id", "user_id", "platform", "state_hash", "redirect_url")
        }
        past = datetime.now(UTC) - timedelta(seconds=1)
        session.add(SocialAuthorization(organization_id=acme.organization_id, expires_at=past, **values))
    refused(complete(client, owner, late), 422)
    assert len(rows(database, acme, SocialAccount)) == 1


def test_a_code_that_the_platform_refuses_is_told_and_the_state_spent(
    client: httpx.Client, owner: Headers, stand_in: StandIn
) -> None:
    make(stand_in, "x")
    departing = authorize(client, owner, "x")
    document = refused(complete(client, owner, {"state": departing["state"], "code": "made-up"}), 422)
    assert fields(document) == [(None, "code")]
    refused(complete(client, owner, sign_in(departing)), 422)


def test_an_account_is_connected_again_and_only_as_itself(
    client: httpx.Client, owner: Headers, acme: Tenant, stand_in: StandIn, database: Database
) -> None:
    make(stand_in, "x")
    [account] = complete(client, owner, sign_in(authorize(client, owner, "x"))).json()["accounts"]
    with tenant_session(database, acme.organization_id) as session:
        session.execute(update(SocialAccount).values(status=AccountStatus.NEEDS_REAUTH, status_detail="gone"))
    shown = client.get(f"{ACCOUNTS}/{account['id']}", headers=owner).json()
    assert "Connect the account again" in shown["next_step"]
    refused(client.post(f"{ACCOUNTS}/{account['id']}/resume", headers=owner), 409)

    make(stand_in, "x", "another")
    other = sign_in(authorize(client, owner, "x", account_id=account["id"]))
    assert "another" in refused(complete(client, owner, other), 409)["error"]
    departing = authorize(client, owner, "x", account_id=account["id"])
    departing["authorize_url"] += f"&account={HANDLE}"
    [again] = complete(client, owner, sign_in(departing)).json()["accounts"]
    assert (again["id"], again["status"], again["next_step"]) == (account["id"], "active", None)
    assert len(rows(database, acme, SocialAccount)) == 1
    refused(
        client.post(
            f"{ACCOUNTS}/authorize", json={"platform": "x", "account_id": str(uuid4())}, headers=owner
        ),
        404,
    )


def test_an_account_of_tokens_from_elsewhere_is_connected_again_as_itself(
    client: httpx.Client, owner: Headers, acme: Tenant, stand_in: StandIn, database: Database
) -> None:
    """It has no remote id yet: its handle says that it is the same."""
    make(stand_in, "bluesky", "known.test")
    elsewhere = {"platform": "bluesky", "handle": "known.test", "access_token": "old"}
    account = client.post(ACCOUNTS, json=elsewhere, headers=owner).json()
    body = {"platform": "bluesky", "handle": "known.test", "password": "stand-in-password"}
    again = client.post(f"{ACCOUNTS}/password", json=body | {"account_id": account["id"]}, headers=owner)
    assert again.json()["accounts"][0]["id"] == account["id"]
    [row] = rows(database, acme, SocialAccount)
    assert row.remote_id.startswith("did:plc:")
    assert held_tokens(make_vault(get_settings()), row).tokens.access != "old"
    assert row.token_version == 1


def test_a_plan_limits_accounts_however_they_are_connected(
    client: httpx.Client, sign: Callable[..., Headers], organization: Callable[..., Tenant], stand_in: StandIn
) -> None:
    headers = sign(organization(plan="starter", name="Small"))
    make(stand_in, "bluesky", "small.test")
    body = {"platform": "bluesky", "handle": "small.test", "password": "stand-in-password"}
    for number in range(3):
        answer = client.post(
            ACCOUNTS, json={"platform": "x", "handle": f"x{number}", "access_token": "t"}, headers=headers
        )
        assert answer.status_code == 201
    token = {"platform": "x", "handle": "x3", "access_token": "t"}
    for path, sent in ((ACCOUNTS, token), (f"{ACCOUNTS}/password", body)):
        document = refused(client.post(path, json=sent, headers=headers), 403)
        assert (document["meter"], document["limit"]) == ("social_accounts", 3)
    assert client.delete(answer.headers["location"], headers=headers).status_code == 204
    assert client.post(f"{ACCOUNTS}/password", json=body, headers=headers).status_code == 201
    again = client.post(f"{ACCOUNTS}/password", json=body, headers=headers)
    assert again.status_code == 201, "an account that is connected again is no more than it was"


def test_an_app_password_is_traded_and_not_kept(
    client: httpx.Client, owner: Headers, acme: Tenant, stand_in: StandIn, database: Database
) -> None:
    make(stand_in, "bluesky", "shop.test")
    body = {"platform": "bluesky", "handle": "shop.test", "password": "stand-in-password"}
    answer = client.post(f"{ACCOUNTS}/password", json=body, headers=owner)
    assert answer.status_code == 201, answer.text
    [account] = answer.json()["accounts"]
    assert account["remote_id"].startswith("did:plc:")
    [row] = rows(database, acme, SocialAccount)
    tokens = held_tokens(make_vault(get_settings()), row).tokens
    assert tokens.refresh
    wrong = client.post(f"{ACCOUNTS}/password", json=body | {"password": "guessed"}, headers=owner)
    document = refused(wrong, 422)
    assert fields(document) == [(None, "password")]
    assert "guessed" not in wrong.text
    for path, platform in (("password", "x"), ("authorize", "bluesky")):
        other = body | {"platform": platform} if path == "password" else {"platform": platform}
        assert fields(refused(client.post(f"{ACCOUNTS}/{path}", json=other, headers=owner), 422)) == [
            (None, "platform")
        ]


def test_a_federated_server_is_told_of_us_once(
    client: httpx.Client, owner: Headers, acme: Tenant, stand_in: StandIn, database: Database
) -> None:
    make(stand_in, "mastodon")
    for _ in range(2):
        departing = authorize(client, owner, "mastodon", server_url="https://social.example.org")
        assert complete(client, owner, sign_in(departing)).status_code == 201
    [known] = rows(database, acme, SocialClient)
    assert known.client_id.encode() not in known.client_secret_encrypted
    assert len(rows(database, acme, SocialAccount)) == 1


def test_accounts_of_two_servers_that_bear_one_id_are_two(
    client: httpx.Client, owner: Headers, acme: Tenant, stand_in: StandIn, database: Database
) -> None:
    make(stand_in, "mastodon")
    servers = ["https://one.example.org", "https://two.example.org"]
    for server in [*servers, servers[0]]:
        departing = authorize(client, owner, "mastodon", server_url=server)
        assert complete(client, owner, sign_in(departing)).status_code == 201
    accounts = rows(database, acme, SocialAccount)
    assert {account.remote_id for account in accounts} == {accounts[0].remote_id}
    assert sorted(str(account.server_url) for account in accounts) == servers

    other = {"platform": "mastodon", "server_url": servers[1], "account_id": str(accounts[0].id)}
    told = refused(client.post(f"{ACCOUNTS}/authorize", json=other, headers=owner), 422)
    assert "server_url" in str(told)


def test_people_come_back_only_to_where_the_operator_allows(client: httpx.Client, owner: Headers) -> None:
    body = {"platform": "x", "redirect_url": "https://evil.example.org"}
    document = refused(client.post(f"{ACCOUNTS}/authorize", json=body, headers=owner), 422)
    assert fields(document) == [(None, "redirect_url")]


def test_a_platform_that_fails_in_passing_leaves_nothing_behind(
    client: httpx.Client, owner: Headers, acme: Tenant, stand_in: StandIn, database: Database
) -> None:
    make(stand_in, "bluesky", "fails.test")
    stand_in.plant("bluesky", "server_error", operation="login")
    body = {"platform": "bluesky", "handle": "fails.test", "password": "stand-in-password"}
    answer = client.post(f"{ACCOUNTS}/password", json=body, headers=owner)
    assert (answer.status_code, answer.headers["retry-after"]) == (502, "10")
    assert rows(database, acme, SocialAccount) == []
