"""Whose login page a domain shows: its holder's, told to anybody; all else looks like nothing at all."""

import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import uuid4

import httpx
import psycopg
import pytest
import redis
from sqlalchemy import text, update
from sqlalchemy.exc import DBAPIError

from config.settings import Settings
from models.branding import CustomDomain
from models.organization import Organization, Tenant
from models.session import Database, tenant_session
from ops.stack import PostgresUrls
from tests.integration.intake.conftest import serving
from tests.integration.intake.problems import fields, refused
from tests.integration.intake.resources.name_server import NameServer, name_server

Headers = dict[str, str]
LOOK, DOMAINS = "/api/v1/branding", "/api/v1/branding/domains"
VARYING = {"date", "x-request-id"}
OWN = re.compile(r'"(?:request_id|instance)":"[^"]*"')


@pytest.fixture(scope="module")
def dns() -> Iterator[NameServer]:
    with name_server() as server:
        yield server


@pytest.fixture(scope="module")
def settings(settings: Settings, dns: NameServer) -> Settings:
    return settings.model_copy(update={"dns_servers": (dns.place,)})


@dataclass
class Claim:
    """A domain that an organization named."""

    client: httpx.Client
    dns: NameServer
    headers: Headers
    made: dict[str, Any]

    @property
    def path(self) -> str:
        return f"{DOMAINS}/{self.made['id']}"

    def show(self, *tokens: str) -> None:
        """Let DNS show this claim's token, beside *tokens*."""
        self.dns.records[self.made["record"]] = [self.made["token"], *tokens]

    def verify(self) -> httpx.Response:
        return self.client.post(f"{self.path}/verify", headers=self.headers)


@pytest.fixture
def claim(client: httpx.Client, dns: NameServer, sign: Callable[..., Headers]) -> Callable[..., Claim]:
    def make(tenant: Tenant, domain: str, *, proved: bool = True) -> Claim:
        headers = sign(tenant)
        answer = client.post(DOMAINS, json={"domain": domain}, headers=headers)
        assert answer.status_code == 201, answer.text
        made = Claim(client, dns, headers, answer.json())
        if proved:
            made.show()
            assert made.verify().status_code == 200
        return made

    return make


@pytest.fixture
def page(client: httpx.Client) -> Callable[..., httpx.Response]:
    """Ask for a domain's page as a visitor does: without a token."""
    return lambda domain, **headers: client.get(f"{LOOK}/by-domain/{domain}", headers=headers)


Page = Callable[..., httpx.Response]
Claims = Callable[..., Claim]


def test_whoever_asks_sees_how_the_holder_looks_and_nothing_else(
    client: httpx.Client, claim: Claims, page: Page, globex: Tenant, as_globex: Headers
) -> None:
    claim(globex, "login.globex.example")
    plain = page("login.globex.example")
    assert plain.json() == {
        "name": "Globex",
        "colour": None,
        "accent": None,
        "logo": None,
        "logo_text": None,
    }
    client.put(LOOK, json={"name": "Globex & Co", "colour": "#112233"}, headers=as_globex)
    shown = page("login.globex.example")
    assert shown.json() == plain.json() | {"name": "Globex & Co", "colour": "#112233"}
    assert shown.headers["cache-control"] == "public, max-age=60"
    told = shown.text + str(shown.headers)
    assert str(globex.organization_id) not in told
    assert "enterprise" not in told
    assert not [name for name in shown.headers if name.startswith(("ratelimit", "set-cookie"))]

    again = page("login.globex.example", **{"If-None-Match": shown.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert page("login.globex.example", **{"If-None-Match": plain.headers["etag"]}).status_code == 200


def test_a_domain_is_found_however_it_is_spelled(claim: Claims, page: Page, globex: Tenant) -> None:
    claim(globex, "Bücher.Example")
    ascii_spelled = ["xn--bcher-kva.example", "XN--BCHER-KVA.Example", "xn--bcher-kva.example."]
    spelled = ["bücher.example", "BÜCHER.EXAMPLE", "bücher.example.", "bu\u0308cher.example"]
    other_width = ["bücher\u3002example", "\uff42ücher.example"]
    for domain in ascii_spelled + spelled + other_width:
        assert page(domain).status_code == 200, domain


@pytest.mark.parametrize(
    "likeness",
    [
        "аcme.example",  # noqa: RUF001 - a Cyrillic a
        "acmе.example",  # noqa: RUF001 - a Cyrillic e
        "acme.example.evil.example",
        "www.acme.example",
        "acme-example.example",
        "%25cme.example",
        "_cme.example",
    ],
)
def test_what_only_looks_like_a_domain_is_another_one(
    claim: Claims, page: Page, globex: Tenant, likeness: str
) -> None:
    claim(globex, "acme.example")
    assert page(likeness).status_code in {404, 422}


@pytest.mark.parametrize(
    "domain",
    [
        "acme.example:443",
        "localhost",
        "127.0.0.1",
        "[::1]",
        "*.example",
        "a.example%00",
        "' OR true --.example",
        "a.example' OR 'a'='a.example",
        "{{7*7}}.example",
        "a" * 301,
        "xn--a.example",
    ],
)
def test_what_is_no_domain_is_refused(page: Page, domain: str) -> None:
    assert fields(refused(page(domain), 422)) == [(None, "domain")]


@pytest.fixture
def statements(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the intake sends; what takes as many statements of the same kind takes as long."""
    sent: list[str] = []
    sound = psycopg.Cursor.execute

    def noted(cursor: Any, query: Any, *given: Any, **named: Any) -> Any:
        sent.append(query if isinstance(query, str) else repr(query))
        return sound(cursor, query, *given, **named)

    monkeypatch.setattr(psycopg.Cursor, "execute", noted)
    return sent


def changed(**values: Any) -> Callable[[Claim, Tenant, Database], None]:
    def change(_: Claim, tenant: Tenant, database: Database) -> None:
        with tenant_session(database, tenant.organization_id) as session:
            session.execute(update(Organization).values(**values))

    return change


def unproven(claim: Claim, *_: object) -> None:
    del claim.dns.records[claim.made["record"]]
    refused(claim.verify(), 409)


def removed(claim: Claim, *_: object) -> None:
    assert claim.client.delete(claim.path, headers=claim.headers).status_code == 204


def erased(_: Claim, tenant: Tenant, database: Database) -> None:
    with tenant_session(database, tenant.organization_id) as session:
        session.execute(text("DELETE FROM custom_domains"))


GONE = {
    "suspended": changed(status="suspended"),
    "inactive": changed(status="inactive"),
    "deleted": changed(deleted_at=text("now()")),
    "downgraded": changed(plan="starter"),
    "unproven": unproven,
    "removed": removed,
    "erased": erased,
}


@pytest.mark.parametrize("reason", ["never proved", *GONE])
def test_what_is_not_shown_looks_like_what_nobody_ever_named(
    claim: Claims, page: Page, globex: Tenant, database: Database, statements: list[str], reason: str
) -> None:
    domain = f"{reason.replace(' ', '-')}.example"
    made = claim(globex, domain, proved=reason in GONE)
    if reason in GONE:
        assert page(domain).status_code == 200
        GONE[reason](made, globex, database)

    def told(domain: str) -> tuple[object, ...]:
        statements.clear()
        answer = page(domain)
        headers = {name: value for name, value in answer.headers.items() if name not in VARYING}
        body = OWN.sub("", answer.text)
        return answer.status_code, body, headers.pop("content-length") and headers, list(statements)

    never_heard_of = f"{'x' * len(reason)}.example"
    assert told(domain) == told(never_heard_of)
    assert refused(page(domain), 404)["detail"] == "There is no such domain."
    assert len(statements) >= 3


def test_of_another_region_nothing_is_shown(claim: Claims, globex: Tenant, settings: Settings) -> None:
    claim(globex, "region.example")
    elsewhere = settings.model_copy(update={"region": "elsewhere"})
    with serving(elsewhere) as url:
        refused(httpx.get(f"{url}{LOOK}/by-domain/region.example"), 404)


def test_another_organizations_claim_shows_nothing_of_it(
    claim: Claims, page: Page, globex: Tenant, organization: Callable[..., Tenant]
) -> None:
    """Anybody may name any domain, and try to verify it."""
    claim(globex, "mine.example")
    squatter = claim(organization(plan="enterprise", name="Squatter"), "mine.example", proved=False)
    refused(squatter.verify(), 409)
    assert page("mine.example").json()["name"] == "Globex"


def test_who_proves_a_domain_last_holds_it_and_a_forgotten_record_brings_nothing_back(
    claim: Claims, page: Page, globex: Tenant, organization: Callable[..., Tenant]
) -> None:
    buyer = organization(plan="enterprise", name="Buyer")
    old = claim(globex, "sold.example")
    assert page("sold.example").json()["name"] == "Globex"

    new = claim(buyer, "sold.example", proved=False)
    new.show(old.made["token"])  # the old owner's record is still there
    assert new.verify().status_code == 200
    assert page("sold.example").json()["name"] == "Buyer", "at once"
    assert refused(old.verify(), 409)["type"].endswith("domain-held")
    assert page("sold.example").json()["name"] == "Buyer"

    removed(new)
    refused(page("sold.example"), 404)
    assert old.verify().status_code == 200, "its record stands, and nobody else holds it"
    assert page("sold.example").json()["name"] == "Globex"


def test_who_gets_a_domain_back_proves_it_by_a_new_token(
    claim: Claims, page: Page, globex: Tenant, organization: Callable[..., Tenant]
) -> None:
    first = claim(globex, "back.example")
    claim(organization(plan="enterprise", name="Between"), "back.example")
    removed(first)
    assert page("back.example").json()["name"] == "Between", "who lost it takes nothing away"
    claim(globex, "back.example")
    assert page("back.example").json()["name"] == "Globex"


def test_of_two_who_prove_it_at_once_one_holds_it(
    claim: Claims, page: Page, globex: Tenant, organization: Callable[..., Tenant]
) -> None:
    other = organization(plan="enterprise", name="Other")
    claims = [claim(tenant, "both.example", proved=False) for tenant in (globex, other)]
    claims[0].show(claims[1].made["token"])
    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(Claim.verify, claims))
    assert {answer.status_code for answer in answers} <= {200, 409}
    again = [each.verify().status_code for each in claims]
    assert sorted(again) == [200, 409]
    assert page("both.example").json()["name"] == ("Globex", "Other")[again.index(200)]


INJECTED = {
    "a proof without its secret": "SELECT app.hold_domain('victim.example', 4102444800, repeat('0', 64))",
    "the seal as a proof": (
        "SELECT app.hold_domain('victim.example', 4102444800, right(current_setting('app.tenant_seal'), 64))"
    ),
    "the table": "SELECT * FROM app.domain_holders",
    "a line of the table": (
        "INSERT INTO app.domain_holders VALUES ('victim.example', app.sealed_tenant(), now())"
    ),
    "whose it is": "SELECT app.domain_holder('victim.example')",
    "the trigger": "SELECT app.release_domain()",
}


@pytest.mark.parametrize("attempt", INJECTED)
def test_injected_sql_takes_no_domain_and_learns_of_none(
    claim: Claims, globex: Tenant, acme: Tenant, database: Database, page: Page, attempt: str
) -> None:
    claim(globex, "victim.example")
    own = {"organization_id": acme.organization_id, "token": str(uuid4()), "domain": "victim.example"}
    with tenant_session(database, acme.organization_id) as session:
        session.add(CustomDomain(**own))
        session.flush()
        session.execute(text("UPDATE custom_domains SET verified_at = now() + interval '1 year'"))
    with (
        tenant_session(database, acme.organization_id) as session,
        pytest.raises(DBAPIError, match=r"forged|permission denied|may not ask"),
    ):
        session.execute(text(INJECTED[attempt]))
    assert page("victim.example").json()["name"] == "Globex"


def test_a_proof_is_good_for_its_organization_its_domain_and_a_while(
    globex: Tenant, acme: Tenant, database: Database, settings: Settings
) -> None:
    minute = timedelta(minutes=1)
    theirs = database.sealer.prove_domain(globex.organization_id, "proof.example", minute)
    late = database.sealer.prove_domain(acme.organization_id, "proof.example", -minute)
    other = database.sealer.prove_domain(acme.organization_id, "other.example", minute)
    for domain, expiry, signature in (theirs, late, ("proof.example", *other[1:])):
        with (
            tenant_session(database, acme.organization_id) as session,
            pytest.raises(DBAPIError, match="forged or has expired"),
        ):
            session.execute(
                text("SELECT app.hold_domain(:domain, :expiry, :signature)"),
                {"domain": domain, "expiry": expiry, "signature": signature},
            )


def test_an_address_asks_so_often_and_others_do_not_mind(settings: Settings) -> None:
    limited = settings.model_copy(update={"public_calls_hour": 5})
    with serving(limited) as url, httpx.Client(base_url=url) as client:

        def ask(address: str) -> httpx.Response:
            return client.get(f"{LOOK}/by-domain/none.example", headers={"X-Forwarded-For": address})

        assert [ask("203.0.113.7").status_code for _ in range(6)] == [404] * 5 + [429]
        document = refused(ask("203.0.113.7"), 429)
        assert (document["scope"], document["limit"]) == ("address", 5)
        assert 0 < int(ask("203.0.113.7").headers["retry-after"]) <= 720
        assert ask("203.0.113.8").status_code == 404
        network = [ask(f"2001:db8::{number:x}").status_code for number in range(6)]
        assert network == [404] * 5 + [429], "a network of IPv6 is one caller"
        assert ask("2001:db8:0:1::1").status_code == 404
    with redis.Redis.from_url(str(settings.redis_url)) as connection:
        keys = b"".join(connection.keys("genius:rate:address:*"))
    assert keys
    assert b"203.0" not in keys


def test_the_directory_holds_what_is_proved_now_and_no_more(
    claim: Claims, globex: Tenant, database_urls: PostgresUrls
) -> None:
    claims = [claim(globex, f"held{number}.example") for number in range(3)]
    unproven(claims[0])
    removed(claims[1])
    assert database_urls.superuser_url is not None
    with psycopg.connect(database_urls.superuser_url) as connection:
        held = connection.execute(
            "SELECT domain FROM app.domain_holders WHERE organization_id = %s", [globex.organization_id]
        ).fetchall()
    assert held == [("held2.example",)]
