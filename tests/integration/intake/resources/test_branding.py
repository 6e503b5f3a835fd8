"""White label: one look for reports and clients; domains that only DNS proves."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from config.settings import Settings
from intake.lock import one_at_a_time
from models.organization import Tenant
from models.session import Database, tenant_session
from tests.integration.intake.problems import fields, refused
from tests.integration.intake.resources.name_server import NameServer, name_server

Headers = dict[str, str]
LOOK = "/api/v1/branding"
DOMAINS = f"{LOOK}/domains"


@pytest.fixture(scope="module")
def dns() -> Iterator[NameServer]:
    with name_server() as server:
        yield server


@pytest.fixture(scope="module")
def settings(settings: Settings, dns: NameServer) -> Settings:
    return settings.model_copy(update={"dns_servers": (dns.place,)})


@pytest.fixture
def initech(organization: Callable[..., Tenant]) -> Tenant:
    return organization(plan="enterprise", name="Initech")


@pytest.fixture
def as_initech(sign: Callable[..., Headers], initech: Tenant) -> Headers:
    return sign(initech)


def claim(client: httpx.Client, headers: Headers, domain: str) -> dict[str, Any]:
    answer = client.post(DOMAINS, json={"domain": domain}, headers=headers)
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made | {"verify": f"{answer.headers['location']}/verify"}


def test_the_look_is_put_changed_in_part_and_taken_back(client: httpx.Client, as_acme: Headers) -> None:
    plain = client.get(LOOK, headers=as_acme)
    assert set(plain.json().values()) == {None}
    put = client.put(LOOK, json={"name": "Acme", "colour": "#112233"}, headers=as_acme)
    changed = client.patch(
        LOOK, json={"accent": "#AABBCC", "name": None}, headers=as_acme | {"If-Match": put.headers["etag"]}
    )
    assert changed.json() == plain.json() | {"colour": "#112233", "accent": "#aabbcc"}
    assert client.get("/api/v1/reports/branding", headers=as_acme).json() == changed.json()
    stale = client.delete(LOOK, headers=as_acme | {"If-Match": put.headers["etag"]})
    assert fields(refused(stale, 412)) == [(None, "If-Match")]
    assert client.delete(LOOK, headers=as_acme).status_code == 204
    assert client.get(LOOK, headers=as_acme).headers["etag"] == plain.headers["etag"]


def test_a_change_that_leaves_a_look_without_sense_is_refused(client: httpx.Client, as_acme: Headers) -> None:
    assert fields(refused(client.patch(LOOK, json={"colour": "red"}, headers=as_acme), 422)) == [
        (None, "colour")
    ]
    assert fields(refused(client.patch(LOOK, json={"logo_text": "A"}, headers=as_acme), 422)) == [
        (None, "body")
    ]


def test_of_many_who_change_one_look_at_once_one_wins(
    waiting: Callable[[int], None], client: httpx.Client, as_acme: Headers, acme: Tenant, database: Database
) -> None:
    headers = as_acme | {"If-Match": client.get(LOOK, headers=as_acme).headers["etag"]}
    with ThreadPoolExecutor(3) as pool, tenant_session(database, acme.organization_id) as session:
        one_at_a_time(session, acme.organization_id, "settings")
        sent = [pool.submit(client.patch, LOOK, json={"name": f"A{n}"}, headers=headers) for n in range(3)]
        waiting(3)
        session.rollback()
    assert sorted(each.result().status_code for each in sent) == [200, 412, 412]


def test_a_domain_is_verified_while_dns_shows_its_token(
    client: httpx.Client, as_globex: Headers, dns: NameServer
) -> None:
    made = claim(client, as_globex, "News.Globex.example")
    assert (made["domain"], made["record"]) == ("news.globex.example", "_genius.news.globex.example")
    document = refused(client.post(made["verify"], headers=as_globex), 409)
    assert (document["record"], document["value"]) == (made["record"], made["token"])
    dns.records[made["record"]] = ["v=spf1 -all", made["token"]]
    first = client.post(made["verify"], headers=as_globex).json()
    again = client.post(made["verify"], headers=as_globex).json()
    assert first["verified_at"] == again["verified_at"] == first["checked_at"] != again["checked_at"]
    del dns.records[made["record"]]
    refused(client.post(made["verify"], headers=as_globex), 409)
    [shown] = client.get(DOMAINS, headers=as_globex).json()["items"]
    assert shown["verified_at"] is None


def test_a_silent_dns_changes_nothing(
    client: httpx.Client, as_globex: Headers, dns: NameServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = claim(client, as_globex, "quiet.example")
    dns.records[made["record"]] = [made["token"]]
    verified = client.post(made["verify"], headers=as_globex).json()
    monkeypatch.setattr("intake.domain_proof.PATIENCE_S", 0.2)
    dns.silent.add(made["record"])
    assert refused(client.post(made["verify"], headers=as_globex), 409)["type"].endswith("dns-away")
    path = made["verify"].removesuffix("/verify")
    assert client.get(path, headers=as_globex).json() == verified


def test_a_domain_of_another_organization_is_answered_as_a_new_one(
    client: httpx.Client, as_globex: Headers, as_initech: Headers, dns: NameServer
) -> None:
    theirs = claim(client, as_globex, "shop.example")
    dns.records[theirs["record"]] = [theirs["token"]]
    assert client.post(theirs["verify"], headers=as_globex).status_code == 200

    ours = claim(client, as_initech, "shop.example")
    fresh = claim(client, as_initech, "never-heard-of.example")
    told = {"id", "domain", "token", "record", "verify", "created_at", "updated_at"}
    assert {name: value for name, value in ours.items() if name not in told} == {
        name: value for name, value in fresh.items() if name not in told
    }
    for made in (ours, fresh):
        refused(client.post(made["verify"], headers=as_initech), 409)
    assert ours["token"] != theirs["token"]
    refused(client.post(theirs["verify"], headers=as_initech), 404)
    [shown] = client.get(DOMAINS, headers=as_globex).json()["items"]
    assert shown["verified_at"] is not None, "who came later took nothing away"


@pytest.mark.parametrize(
    "domain", ["localhost", "127.0.0.1", "http://a.example", "a.example\x00", "*.a.example", "a" * 301]
)
def test_what_is_no_domain_is_refused(client: httpx.Client, as_globex: Headers, domain: str) -> None:
    answer = client.post(DOMAINS, json={"domain": domain}, headers=as_globex)
    assert fields(refused(answer, 422)) == [(None, "domain")]


def test_a_domain_is_named_once_and_removed_for_good(client: httpx.Client, as_globex: Headers) -> None:
    made = claim(client, as_globex, "twice.example")
    again = client.post(DOMAINS, json={"domain": "TWICE.example"}, headers=as_globex)
    assert fields(refused(again, 409)) == [(None, "domain")]
    path = made["verify"].removesuffix("/verify")
    assert client.delete(path, headers=as_globex).status_code == 204
    assert claim(client, as_globex, "twice.example")["token"] != made["token"]


def test_domains_need_the_feature_and_are_not_endless(
    client: httpx.Client, as_acme: Headers, as_initech: Headers
) -> None:
    document = refused(client.post(DOMAINS, json={"domain": "a.example"}, headers=as_acme), 403)
    assert "Upgrade to enterprise" in document["error"]
    for n in range(20):
        claim(client, as_initech, f"d{n}.example")
    refused(client.post(DOMAINS, json={"domain": "one-more.example"}, headers=as_initech), 409)
