"""An organization about itself: name and zone, settings, plan, features."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from sqlalchemy import insert, select, update
from uuid_utils.compat import uuid7

from config.celery import LANES
from config.plans import PLANS
from config.settings import Settings
from intake.lock import one_at_a_time
from models.campaign import Campaign
from models.organization import Organization, Tenant, load_tenant
from models.session import Database, tenant_session
from models.subscription import Subscription
from tests.integration.intake.problems import fields, refused
from tests.integration.intake.resources.conftest import CAMPAIGNS
from tests.support.wait import wait_until
from worker.publish import Publisher

Headers = dict[str, str]
Sign = Callable[..., Headers]
OWN = "/api/v1/organization"
SETTINGS = "/api/v1/settings"
SUBSCRIPTION = "/api/v1/subscription"
FEATURES = "/api/v1/features"


def test_name_and_zone_are_changed_and_nothing_else(
    client: httpx.Client, as_acme: Headers, database: Database, acme: Tenant
) -> None:
    before = client.get(OWN, headers=as_acme)
    body = {"name": "Acme & Söhne", "time_zone": "Europe/Berlin"}
    changed = client.patch(OWN, json=body, headers=as_acme | {"If-Match": before.headers["etag"]})
    assert changed.json() == before.json() | body | {"updated_at": changed.json()["updated_at"]}
    stale = client.patch(OWN, json={"name": "X"}, headers=as_acme | {"If-Match": before.headers["etag"]})
    assert fields(refused(stale, 412)) == [(None, "If-Match")]
    tenant = load_tenant(database, acme.organization_id)
    assert tenant is not None
    assert (tenant.name, tenant.time_zone) == ("Acme & Söhne", "Europe/Berlin")
    for field, value in (
        ("time_zone", "Mars/Olympus"),
        ("name", ""),
        ("plan", "enterprise"),
        ("status", "x"),
    ):
        assert fields(refused(client.patch(OWN, json={field: value}, headers=as_acme), 422)) == [
            (None, field)
        ]


@pytest.mark.parametrize("role", ["member", "viewer"])
def test_only_who_may_administer_does(client: httpx.Client, acme: Tenant, sign: Sign, role: str) -> None:
    headers = sign(acme, role=role)
    for method, path, permission in (
        ("PATCH", OWN, "manage_settings"),
        ("PUT", f"{SETTINGS}/display.locale", "manage_settings"),
        ("PUT", f"{FEATURES}/basic_social", "manage_settings"),
        ("PATCH", SUBSCRIPTION, "manage_billing"),
        ("PUT", "/api/v1/branding", "manage_branding"),
        ("POST", "/api/v1/branding/domains", "manage_branding"),
    ):
        document = refused(client.request(method, path, json={}, headers=headers), 403)
        assert document["permission"] == permission


def test_settings_have_defaults_are_set_and_taken_back(
    waiting: Callable[[int], None],
    client: httpx.Client,
    as_acme: Headers,
    as_globex: Headers,
    acme: Tenant,
    database: Database,
) -> None:
    path = f"{SETTINGS}/display.week_begins"
    default = client.get(path, headers=as_acme)
    assert (default.json()["value"], default.json()["is_set"]) == ("monday", False)
    headers = as_acme | {"If-Match": default.headers["etag"]}
    with ThreadPoolExecutor(3) as pool, tenant_session(database, acme.organization_id) as session:
        one_at_a_time(session, acme.organization_id, "settings")
        sent = [pool.submit(client.put, path, json={"value": "sunday"}, headers=headers) for _ in range(3)]
        waiting(3)
        session.rollback()
    assert sorted(each.result().status_code for each in sent) == [200, 412, 412]
    listed = {each["key"]: each for each in client.get(SETTINGS, headers=as_acme).json()}
    assert (listed["display.week_begins"]["value"], listed["display.locale"]["value"]) == ("sunday", "en")
    assert client.get(path, headers=as_globex).json()["value"] == "monday"
    assert client.delete(path, headers=as_acme).status_code == 204
    assert client.get(path, headers=as_acme).json() == default.json()


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("display.locale", "GERMAN"),
        ("display.locale", "de\n"),
        ("display.locale", None),
        ("display.week_begins", "friday"),
        ("campaigns.currency", ["EUR"]),
        ("campaigns.currency", "e\u0000r"),
    ],
)
def test_a_setting_has_its_type(client: httpx.Client, as_acme: Headers, key: str, value: Any) -> None:
    answer = client.put(f"{SETTINGS}/{key}", json={"value": value}, headers=as_acme)
    assert fields(refused(answer, 422)) == [(None, "value")]


def test_a_key_that_nobody_declared_is_no_setting(client: httpx.Client, as_acme: Headers) -> None:
    for key in ("report_branding", "lead_scoring.model_excluded", "display", "x" * 101):
        answer = client.put(f"{SETTINGS}/{key}", json={"value": 1}, headers=as_acme)
        refused(answer, 422 if len(key) > 100 else 404)


def test_a_budget_without_a_currency_is_in_the_organizations(client: httpx.Client, as_acme: Headers) -> None:
    client.put(f"{SETTINGS}/campaigns.currency", json={"value": "CHF"}, headers=as_acme)
    bodies: list[dict[str, Any]] = [{"budget_cents": 5}, {"budget_cents": 5, "currency": "EUR"}, {}]
    made = [client.post(CAMPAIGNS, json={"name": "A"} | body, headers=as_acme).json() for body in bodies]
    assert [campaign["currency"] for campaign in made] == ["CHF", "EUR", None]


def test_plans_are_told_as_they_are(client: httpx.Client, as_acme: Headers) -> None:
    plans = client.get("/api/v1/plans", headers=as_acme).json()
    assert [plan["plan"] for plan in plans] == list(PLANS)
    assert plans[0]["limits"]["campaigns"] == {"amount": 5, "hard": True}
    assert "advanced_analytics" in plans[1]["features"]


def test_another_plan_reaches_terms_queue_and_subscription(
    client: httpx.Client,
    organization: Callable[..., Tenant],
    sign: Sign,
    database: Database,
    settings: Settings,
) -> None:
    tenant = organization(plan="starter")
    headers = sign(tenant)
    before = client.get(SUBSCRIPTION, headers=headers)
    assert (before.json()["plan"], before.json()["started_at"]) == ("starter", None)
    changed = client.patch(
        SUBSCRIPTION, json={"plan": "enterprise"}, headers=headers | {"If-Match": before.headers["etag"]}
    )
    assert (changed.json()["plan"], changed.json()["terms"]["weight"]) == ("enterprise", 10)
    assert changed.headers["etag"] == client.get(SUBSCRIPTION, headers=headers).headers["etag"]
    assert client.patch(SUBSCRIPTION, json={"plan": "professional"}, headers=headers).status_code == 200
    stale = headers | {"If-Match": before.headers["etag"]}
    refused(client.patch(SUBSCRIPTION, json={"plan": "starter"}, headers=stale), 412)

    now = load_tenant(database, tenant.organization_id)
    assert now is not None
    assert (now.plan, now.billing_anchor) == ("professional", tenant.billing_anchor)
    with tenant_session(database, tenant.organization_id) as session:
        assert session.scalars(select(Subscription.plan)).all() == ["professional"]
    lanes = Publisher(settings).standings(tenant.organization_id, LANES)
    assert {lane.weight for lane in lanes} == {PLANS["professional"].weight}


def test_a_plan_that_is_too_small_is_refused_with_what_has_to_go(
    client: httpx.Client, acme: Tenant, as_acme: Headers, database: Database
) -> None:
    organization_id = acme.organization_id
    with tenant_session(database, organization_id) as session:
        rows = [{"organization_id": organization_id, "id": uuid7(), "name": str(n)} for n in range(7)]
        session.execute(insert(Campaign), rows)
    users = [{"email": f"u{n}@example.org"} for n in range(4)]
    client.post("/api/v1/users/bulk", json={"create": users}, headers=as_acme)

    document = refused(client.patch(SUBSCRIPTION, json={"plan": "starter"}, headers=as_acme), 409)
    assert document["meters"] == [
        {"meter": "campaigns", "used": 7, "limit": 5},
        {"meter": "users", "used": 4, "limit": 3},
    ]
    assert fields(document) == [(None, "plan")] * 2
    assert client.get(SUBSCRIPTION, headers=as_acme).json()["plan"] == "professional"
    with tenant_session(database, organization_id) as session:
        session.execute(update(Campaign).where(Campaign.name > "4").values(deleted_at=Campaign.created_at))
    gone = client.get("/api/v1/users", headers=as_acme).json()["items"][0]["id"]
    client.delete(f"/api/v1/users/{gone}", headers=as_acme)
    assert client.patch(SUBSCRIPTION, json={"plan": "starter"}, headers=as_acme).status_code == 200


def test_one_more_that_waits_for_a_smaller_plan_is_counted_by_that_plan(
    waiting: Callable[[int], None],
    client: httpx.Client,
    sign: Sign,
    organization: Callable[..., Tenant],
    database: Database,
) -> None:
    tenant = organization(plan="professional")
    headers, organization_id = sign(tenant), tenant.organization_id
    client.post(f"{CAMPAIGNS}/bulk", json={"create": [{"name": str(n)} for n in range(5)]}, headers=headers)
    with ThreadPoolExecutor(2) as pool, tenant_session(database, organization_id) as session:
        one_at_a_time(session, organization_id, "campaigns")
        body = {"plan": "starter"}
        smaller = pool.submit(lambda: client.patch(SUBSCRIPTION, json=body, headers=headers))
        waiting(1)
        more = pool.submit(lambda: client.post(CAMPAIGNS, json={"name": "6"}, headers=headers))
        waiting(2)
        session.rollback()
        assert smaller.result().status_code == 200
        assert refused(more.result(), 403)["limit"] == 5


def test_a_feature_switched_off_closes_its_gate_and_on_again_opens_it(
    client: httpx.Client, acme: Tenant, as_acme: Headers, database: Database
) -> None:
    path = f"{FEATURES}/advanced_analytics"
    seen = client.get(path, headers=as_acme)
    assert seen.json() == {"feature": "advanced_analytics", "allowed": True, "on": True}
    off = client.put(path, json={"on": False}, headers=as_acme | {"If-Match": seen.headers["etag"]})
    assert off.json() == {"feature": "advanced_analytics", "allowed": True, "on": False}
    refused(client.put(path, json={"on": True}, headers=as_acme | {"If-Match": seen.headers["etag"]}), 412)
    tenant = load_tenant(database, acme.organization_id)
    assert tenant is not None
    assert not tenant.terms.offers("advanced_analytics")
    assert tenant.terms.offers("predictive_scoring"), "the other features stay"
    assert "advanced_analytics" not in client.get(SUBSCRIPTION, headers=as_acme).json()["terms"]["features"]
    client.put(path, json={"on": True}, headers=as_acme)
    with tenant_session(database, acme.organization_id) as session:
        assert session.scalars(select(Organization.plan_overrides)).one() == {}, "as it was before"


def test_only_what_the_plan_or_an_override_allows_goes_on(
    client: httpx.Client, organization: Callable[..., Tenant], sign: Sign, database: Database
) -> None:
    tenant = organization(plan="starter")
    headers = sign(tenant)
    path = f"{FEATURES}/predictive_scoring"
    document = refused(client.put(path, json={"on": True}, headers=headers), 403)
    assert (document["feature"], document["plan"]) == ("predictive_scoring", "starter")
    with tenant_session(database, tenant.organization_id) as session:
        session.execute(
            update(Organization).values(plan_overrides={"features": ["predictive_scoring", "beta"]})
        )
    assert client.put(path, json={"on": True}, headers=headers).json()["on"] is True
    known = {each["feature"]: each["on"] for each in client.get(FEATURES, headers=headers).json()}
    assert (known["beta"], known["advanced_analytics"]) == (True, False)
    refused(client.put(f"{FEATURES}/all_features", json={"on": True}, headers=headers), 404)
    refused(client.put(f"{FEATURES}/unheard", json={"on": True}, headers=headers), 404)


def test_what_is_switched_off_is_refused_as_that(client: httpx.Client, as_acme: Headers) -> None:
    client.put(f"{FEATURES}/advanced_analytics", json={"on": False}, headers=as_acme)

    def brand() -> httpx.Response:
        return client.put("/api/v1/branding", json={"name": "A"}, headers=as_acme)

    # What is remembered of an organization may be two seconds old.
    wait_until(lambda: brand().status_code == 403)
    assert refused(brand(), 403)["type"].endswith("feature-switched-off")
