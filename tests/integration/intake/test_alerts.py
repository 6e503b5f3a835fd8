"""Alerts, receivers and deliveries through the API; a secret is shown once."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import orjson
import pytest
from sqlalchemy import select, text, update
from uuid_utils.compat import uuid7

from config.settings import Settings
from models.alert import Alert, DeliveryAttempt, EmailRecipient, WebhookEndpoint
from models.job import Job, OutboxRow
from models.organization import Tenant
from models.session import Database, tenant_session
from tasks.vault import Place, Vault
from tests.integration.intake.problems import refused as document_of

Headers = dict[str, str]


def refused(answer: httpx.Response, status: int, slug: str) -> dict[str, Any]:
    """Return the problem document of a refusal of this kind."""
    document = document_of(answer, status)
    assert document["type"] == f"urn:genius:problem:{slug}"
    return document


Sign = Callable[..., Headers]

HOOK = {"url": "https://example.org/hook", "conditions": ["quota", "account"], "description": "our chat"}


def sealed_of(database: Database, tenant: Tenant) -> list[WebhookEndpoint]:
    with tenant_session(database, tenant.organization_id) as session:
        return list(session.scalars(select(WebhookEndpoint)))


def test_an_endpoint_is_made_changed_and_removed(client: httpx.Client, as_acme: Headers) -> None:
    made = client.post("/api/v1/webhooks", json=HOOK, headers=as_acme)
    assert made.status_code == 201
    assert HOOK.items() <= made.json().items()
    path = made.headers["Location"]
    change = {"paused": True, "conditions": []}
    changed = client.patch(path, json=change, headers=as_acme).json()
    assert changed["url"] == HOOK["url"]
    assert change.items() <= changed.items()
    assert client.get(path, headers=as_acme).json() == changed
    assert client.get("/api/v1/webhooks", headers=as_acme).json()["items"] == [changed]
    assert client.delete(path, headers=as_acme).status_code == 204
    refused(client.get(path, headers=as_acme), 404, "not-found")
    assert client.get("/api/v1/webhooks", headers=as_acme).json()["items"] == []


def test_its_secret_is_shown_once_and_lies_encrypted(
    client: httpx.Client, acme: Tenant, as_acme: Headers, database: Database, settings: Settings
) -> None:
    made = client.post("/api/v1/webhooks", json=HOOK, headers=as_acme)
    secret, path = made.json()["secret"], made.headers["Location"]
    assert secret.startswith("whsec_")
    shown = [client.get(path, headers=as_acme).text, client.get("/api/v1/webhooks", headers=as_acme).text]
    assert not any("secret" in text or secret in text for text in shown)
    [row] = sealed_of(database, acme)
    assert secret.encode() not in row.secret_encrypted
    vault = Vault([settings.credential_secret.get_secret_value().encode()])
    place = Place(acme.organization_id, "webhook_endpoints", "secret_encrypted", row.id)
    assert vault.decrypt(row.secret_encrypted, place) == secret
    fresh = client.post(f"{path}/secret", headers=as_acme).json()
    assert fresh["secret"] != secret
    assert fresh["previous_until"] is not None
    [changed] = sealed_of(database, acme)
    assert vault.decrypt(changed.secret_encrypted, place) == fresh["secret"]
    assert changed.previous_secret_encrypted == row.secret_encrypted


@pytest.mark.parametrize(
    "url",
    [
        "http://example.org/hook",
        "https://localhost/hook",
        "https://127.0.0.1/hook",
        "https://10.0.0.8/hook",
        "https://[::1]/hook",
        "https://[::ffff:169.254.169.254]/",
        "https://169.254.169.254/latest/meta-data",
        "https://2130706433/",
        "https://0x7f.1/",
        "https://intranet/hook",
        "https://printer.local/",
        "https://user:password@example.org/",
        "ftp://example.org/",
        "javascript:alert(1)",
        "not an address",
    ],
)
def test_an_address_that_is_not_public_is_refused(client: httpx.Client, as_acme: Headers, url: str) -> None:
    answer = client.post("/api/v1/webhooks", json={"url": url}, headers=as_acme)
    assert refused(answer, 422, "invalid-request")["errors"][0]["field"] == "url"
    assert client.get("/api/v1/webhooks", headers=as_acme).json()["items"] == []


def test_a_change_of_address_is_checked_too(client: httpx.Client, as_acme: Headers) -> None:
    path = client.post("/api/v1/webhooks", json=HOOK, headers=as_acme).headers["Location"]
    refused(client.patch(path, json={"url": "https://10.0.0.1/"}, headers=as_acme), 422, "invalid-request")
    assert client.get(path, headers=as_acme).json()["url"] == HOOK["url"]


def test_there_are_ten_endpoints_at_most(client: httpx.Client, as_acme: Headers) -> None:
    with ThreadPoolExecutor(11) as pool:
        made = list(
            pool.map(lambda _: client.post("/api/v1/webhooks", json=HOOK, headers=as_acme), range(11))
        )
    assert sorted(one.status_code for one in made) == [201] * 10 + [409]
    first = next(one.headers["Location"] for one in made if one.is_success)
    client.delete(first, headers=as_acme)
    client.post("/api/v1/webhooks", json=HOOK, headers=as_acme).raise_for_status()
    refused(client.post(f"{first}/restore", headers=as_acme), 409, "too-many")


def test_an_endpoint_comes_back_with_its_secret(
    client: httpx.Client, acme: Tenant, as_acme: Headers, database: Database
) -> None:
    path = client.post("/api/v1/webhooks", json=HOOK, headers=as_acme).headers["Location"]
    [before] = sealed_of(database, acme)
    client.delete(path, headers=as_acme)
    for act in ("secret", "test"):
        refused(client.post(f"{path}/{act}", headers=as_acme), 404, "not-found")
    back = client.post(f"{path}/restore", headers=as_acme)
    assert HOOK.items() <= back.json().items()
    [after] = sealed_of(database, acme)
    assert after.secret_encrypted == before.secret_encrypted


def test_of_two_who_change_an_endpoint_one_is_told(client: httpx.Client, as_acme: Headers) -> None:
    path = client.post("/api/v1/webhooks", json=HOOK, headers=as_acme).headers["Location"]
    seen = as_acme | {"If-Match": client.get(path, headers=as_acme).headers["ETag"]}
    client.patch(path, json={"paused": True}, headers=seen).raise_for_status()
    refused(client.patch(path, json={"description": "no"}, headers=seen), 412, "changed-meanwhile")
    refused(client.delete(path, headers=seen), 412, "changed-meanwhile")


def test_what_goes_on_is_not_paused_by_us_any_more(
    client: httpx.Client, acme: Tenant, as_acme: Headers, database: Database
) -> None:
    path = client.post("/api/v1/webhooks", json=HOOK, headers=as_acme).headers["Location"]
    with tenant_session(database, acme.organization_id) as session:
        session.execute(update(WebhookEndpoint).values(paused=True, paused_reason="gone"))
    shown = client.patch(path, json={"description": None}, headers=as_acme).json()
    assert (shown["paused"], shown["paused_reason"]) == (True, "gone")
    shown = client.patch(path, json={"paused": False}, headers=as_acme).json()
    assert (shown["paused"], shown["paused_reason"]) == (False, None)


def test_endpoints_are_listed_page_by_page(client: httpx.Client, as_acme: Headers) -> None:
    made = [client.post("/api/v1/webhooks", json=HOOK, headers=as_acme).json()["id"] for _ in range(3)]
    page = client.get("/api/v1/webhooks?limit=2", headers=as_acme).json()
    rest = client.get(f"/api/v1/webhooks?limit=2&cursor={page['next_cursor']}", headers=as_acme).json()
    assert [one["id"] for one in page["items"] + rest["items"]] == made[::-1]
    assert rest["next_cursor"] is None
    rising = client.get("/api/v1/webhooks?sort=created_at", headers=as_acme).json()["items"]
    assert [one["id"] for one in rising] == made


def test_a_recipient_is_made_once_changed_and_removed(client: httpx.Client, as_acme: Headers) -> None:
    body = {"email": "Ann@Example.org", "name": "Ann <b>", "conditions": ["dead_letters"]}
    made = client.post("/api/v1/alert-recipients", json=body, headers=as_acme)
    assert (made.status_code, body.items() <= made.json().items()) == (201, True)
    again = client.post("/api/v1/alert-recipients", json={"email": "ann@example.org"}, headers=as_acme)
    refused(again, 409, "exists")
    path = made.headers["Location"]
    assert client.patch(path, json={"paused": True}, headers=as_acme).json()["paused"] is True
    assert names(client, as_acme) == ["Ann <b>"]
    assert names(client, as_acme, "?email=ann@example.org&paused=true") == ["Ann <b>"]
    assert names(client, as_acme, "?paused=false") == []
    assert client.delete(path, headers=as_acme).status_code == 204
    assert (names(client, as_acme), names(client, as_acme, "?deleted=true")) == ([], ["Ann <b>"])


def names(client: httpx.Client, headers: Headers, query: str = "") -> list[str | None]:
    page = client.get(f"/api/v1/alert-recipients{query}", headers=headers).json()
    return [one["name"] for one in page["items"]]


def test_a_recipient_comes_back_unless_the_address_is_taken(client: httpx.Client, as_acme: Headers) -> None:
    body = {"email": "ann@example.org"}
    first = client.post("/api/v1/alert-recipients", json=body, headers=as_acme).headers["Location"]
    client.delete(first, headers=as_acme)
    second = client.post("/api/v1/alert-recipients", json=body, headers=as_acme).headers["Location"]
    refused(client.post(f"{first}/restore", headers=as_acme), 409, "exists")
    client.delete(second, headers=as_acme)
    assert client.post(f"{first}/restore", headers=as_acme).json()["email"] == "ann@example.org"
    assert client.get(first, headers=as_acme).json()["deleted_at"] is None


def test_there_are_fifty_recipients_at_most(
    client: httpx.Client, acme: Tenant, as_acme: Headers, database: Database
) -> None:
    with tenant_session(database, acme.organization_id) as session:
        session.add_all(
            EmailRecipient(organization_id=acme.organization_id, email=name, email_norm=name)
            for name in (f"{number}@example.org" for number in range(49))
        )
    last, beyond = (
        client.post("/api/v1/alert-recipients", json={"email": f"{name}@example.org"}, headers=as_acme)
        for name in ("last", "beyond")
    )
    assert last.status_code == 201
    refused(beyond, 409, "too-many")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"email": "ann"}, "email"),
        ({"email": "ann@example.org, bob@example.org"}, "email"),
        ({"email": "ann@example.org,bob@example.org"}, "email"),
        ({"email": "Ann <ann@example.org>"}, "email"),
        ({"email": "ann@example.org\r\nBcc: bob@example.org"}, "email"),
        ({"email": "ann@example.org", "conditions": ["weather"]}, "conditions[0]"),
        ({"email": "ann@example.org", "conditions": ["quota", "quota"]}, "conditions"),
    ],
)
def test_a_recipient_that_cannot_be_is_refused_by_field(
    client: httpx.Client, as_acme: Headers, body: dict[str, Any], field: str
) -> None:
    answer = client.post("/api/v1/alert-recipients", json=body, headers=as_acme)
    assert refused(answer, 422, "invalid-request")["errors"][0]["field"] == field


def test_a_test_is_a_delivery_with_a_job_and_a_log(
    client: httpx.Client, acme: Tenant, as_acme: Headers, database: Database
) -> None:
    path = client.post("/api/v1/webhooks", json=HOOK, headers=as_acme).headers["Location"]
    tried = client.post(f"{path}/test", headers=as_acme)
    assert tried.status_code == 202
    delivery = tried.json()
    assert (delivery["event"], delivery["state"], delivery["attempts"]) == ("alert.test", "pending", 0)
    with tenant_session(database, acme.organization_id) as session:
        [job] = session.scalars(select(Job)).all()
        assert (job.kind, str(job.id)) == ("system.deliver_alert", delivery["job_id"])
        assert session.scalars(select(OutboxRow.job_id)).all() == [job.id]
        session.add_all(
            DeliveryAttempt(
                organization_id=acme.organization_id,
                delivery_id=delivery["id"],
                attempt=number,
                status=status,
                error=f"the endpoint answered {status}",
                milliseconds=12,
            )
            for number, status in ((1, 500), (2, 503))
        )
    other = client.post(f"{path}/test", headers=as_acme).json()
    listed = client.get("/api/v1/alerts/deliveries?state=pending", headers=as_acme).json()["items"]
    assert [(one["id"], one["attempts"]) for one in listed] == [(other["id"], 0), (delivery["id"], 2)]
    assert not {"body", "log"} & set(listed[0])
    detail = client.get(f"/api/v1/alerts/deliveries/{delivery['id']}", headers=as_acme).json()
    assert [(one["attempt"], one["status"], one["error"]) for one in detail["log"]] == [
        (1, 500, "the endpoint answered 500"),
        (2, 503, "the endpoint answered 503"),
    ]
    assert (other["log"], orjson.loads(detail["body"])["type"]) == ([], "alert.test")
    endpoint_id = path.rpartition("/")[2]
    assert client.get(f"/api/v1/alerts/deliveries?receiver_id={endpoint_id}", headers=as_acme).json()["items"]
    others = client.get(f"/api/v1/alerts/deliveries?receiver_id={delivery['id']}", headers=as_acme).json()
    assert others["items"] == []
    client.patch(path, json={"paused": True}, headers=as_acme)
    refused(client.post(f"{path}/test", headers=as_acme), 409, "paused")


@pytest.fixture
def alerts(acme: Tenant, database: Database) -> list[str]:
    made = [
        Alert(
            organization_id=acme.organization_id,
            id=uuid7(),
            condition=condition,
            subject=f"{condition}/{number}",
            period_start=text("now()"),
            severity="warning",
            title="Something",
        )
        for number, condition in enumerate(("quota", "account", "quota"))
    ]
    with tenant_session(database, acme.organization_id) as session:
        session.add_all(made)
        session.flush()
        session.execute(update(Alert).where(Alert.id == made[0].id).values(resolved_at=text("now()")))
    return [str(alert.id) for alert in made]


def test_alerts_are_listed_newest_first_by_condition_and_state(
    client: httpx.Client, as_acme: Headers, alerts: list[str]
) -> None:
    def listed(query: str) -> list[str]:
        answer = client.get(f"/api/v1/alerts{query}", headers=as_acme).json()
        return [one["id"] for one in answer["items"]]

    assert listed("") == alerts[::-1]
    assert listed("?condition=quota") == [alerts[2], alerts[0]]
    assert listed("?open=true") == alerts[:0:-1]
    assert listed("?open=false") == [alerts[0]]
    page = client.get("/api/v1/alerts?limit=2", headers=as_acme).json()
    assert listed(f"?limit=2&cursor={page['next_cursor']}") == [alerts[0]]
    assert client.get(f"/api/v1/alerts/{alerts[1]}", headers=as_acme).json()["condition"] == "account"


def test_what_is_another_tenants_does_not_exist(
    client: httpx.Client, as_acme: Headers, as_globex: Headers, alerts: list[str]
) -> None:
    hook = client.post("/api/v1/webhooks", json=HOOK, headers=as_acme).headers["Location"]
    mail = {"email": "ann@example.org"}
    recipient = client.post("/api/v1/alert-recipients", json=mail, headers=as_acme).headers["Location"]
    delivery = client.post(f"{hook}/test", headers=as_acme).json()["id"]
    for method, path in (
        ("GET", hook),
        ("PATCH", hook),
        ("DELETE", hook),
        ("POST", f"{hook}/secret"),
        ("POST", f"{hook}/test"),
        ("POST", f"{hook}/restore"),
        ("GET", recipient),
        ("PATCH", recipient),
        ("DELETE", recipient),
        ("POST", f"{recipient}/test"),
        ("GET", f"/api/v1/alerts/{alerts[0]}"),
        ("GET", f"/api/v1/alerts/deliveries/{delivery}"),
    ):
        body = {} if method == "PATCH" else None
        refused(client.request(method, path, json=body, headers=as_globex), 404, "not-found")
    for path in ("/api/v1/alerts", "/api/v1/alerts/deliveries"):
        assert client.get(path, headers=as_globex).json()["items"] == []


def test_only_who_manages_people_says_who_is_told(client: httpx.Client, acme: Tenant, sign: Sign) -> None:
    member = sign(acme, role="member")
    assert client.get("/api/v1/alerts", headers=member).status_code == 200
    refused(client.get("/api/v1/webhooks", headers=member), 403, "permission-missing")
    refused(client.post("/api/v1/webhooks", json=HOOK, headers=member), 403, "permission-missing")
    body = {"email": "ann@example.org"}
    refused(client.post("/api/v1/alert-recipients", json=body, headers=member), 403, "permission-missing")
