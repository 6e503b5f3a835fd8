"""Bad input: the status and problem document of the contract, and no row written."""

import http.client
import json
import socket
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx
import jwt
import pytest
from sqlalchemy import update

from config.settings import Settings
from models.organization import Organization, Tenant
from models.session import Database, tenant_session
from tests.integration.intake.problems import fields, refused
from tests.support.wait import wait_until

Headers = dict[str, str]
Recorded = Callable[[Tenant], dict[str, int]]

GOOD = b'{"kind": "analytics.rollup", "payload": {}}'
POST_ID = "01a20765-0000-7000-8000-000000000001"


def post(client: httpx.Client, headers: Headers, raw: bytes) -> httpx.Response:
    return client.post("/api/v1/jobs", content=raw, headers={"Content-Type": "application/json"} | headers)


def test_the_body_these_tests_break_is_good(
    client: httpx.Client, as_acme: Headers, acme: Tenant, recorded: Recorded
) -> None:
    assert post(client, as_acme, GOOD).status_code == 202
    assert recorded(acme)["jobs"] == 1


@pytest.mark.parametrize(
    ("raw", "place"),
    [
        (b"", "line 1 column 0"),
        (b"{", "line 1 column 1"),
        (GOOD[:-1], "line 1 column 42"),
        (GOOD + b"x", "line 1 column 44"),
        (GOOD.replace(b": {}", b":\n {},}"), "line 2 column"),
        (b"\xff\xfe" + GOOD, "line 1 column"),
        (b'{"kind": "\\ud800"}', "line 1 column"),
        (b"[" * 100_000, "line 1 column"),
        (b"kind=analytics.rollup", "line 1 column 1"),
    ],
    ids=lambda value: repr(value)[:24],
)
def test_malformed_json_is_refused_with_its_place(
    client: httpx.Client, as_acme: Headers, acme: Tenant, recorded: Recorded, raw: bytes, place: str
) -> None:
    document = refused(post(client, as_acme, raw), 422)
    assert fields(document) == [(None, "body")]
    assert "not valid JSON" in document["error"]
    assert place in document["error"]
    assert recorded(acme) == {}


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ([], "body"),
        (7, "body"),
        (None, "body"),
        ({}, "kind"),
        ({"payload": {}}, "kind"),
        ({"kind": "analytics.rollup"}, "payload"),
        ({"kind": "leads.nothing", "payload": {}}, "kind"),
        ({"kind": "", "payload": {}}, "kind"),
        ({"kind": 7, "payload": {}}, "kind"),
        ({"kind": ["analytics.rollup"], "payload": {}}, "kind"),
        ({"kind": "system.retention", "payload": {}}, "kind"),
        ({"kind": "system.relay_tick", "payload": {}}, "kind"),
        ({"kind": "analytics.rollup", "payload": []}, "payload"),
        ({"kind": "analytics.rollup", "payload": "{}"}, "payload"),
        ({"kind": "analytics.rollup", "payload": {"until": 1700000000}}, "payload.until"),
        ({"kind": "analytics.rollup", "payload": {"until": float("nan")}}, "payload.until"),
        ({"kind": "analytics.rollup", "payload": {"until": "2026-01-01T00:00:00"}}, "payload.until"),
        ({"kind": "analytics.rollup", "payload": {"sql": "drop"}}, "payload.sql"),
        ({"kind": "analytics.rollup", "payload": {}, "organization_id": POST_ID}, "organization_id"),
        ({"kind": "analytics.rollup", "payload": {}, "state": "succeeded"}, "state"),
        ({"kind": "analytics.rollup", "payload": {}, "run_at": "tomorrow"}, "run_at"),
        ({"kind": "analytics.rollup", "payload": {}, "run_at": "9999-01-01T00:00:00Z"}, "run_at"),
        ({"kind": "analytics.rollup", "payload": {}, "priority": "1"}, "priority"),
        ({"kind": "analytics.rollup", "payload": {}, "priority": True}, "priority"),
        ({"kind": "analytics.rollup", "payload": {}, "priority": 1.0}, "priority"),
        ({"kind": "analytics.rollup", "payload": {}, "priority": 11}, "priority"),
        ({"kind": "analytics.rollup", "payload": {}, "priority": 10**400}, "priority"),
        ({"kind": "leads.score", "payload": {}}, "payload"),
        ({"kind": "leads.score", "payload": {"all": 1}}, "payload.all"),
        ({"kind": "leads.score", "payload": {"all": "true"}}, "payload.all"),
        ({"kind": "leads.score", "payload": {"all": True, "limit": 0}}, "payload.limit"),
        ({"kind": "leads.score", "payload": {"all": True, "limit": 5_001}}, "payload.limit"),
        ({"kind": "leads.score", "payload": {"all": True, "lead_ids": [POST_ID]}}, "payload"),
        ({"kind": "leads.score", "payload": {"lead_ids": []}}, "payload.lead_ids"),
        ({"kind": "leads.score", "payload": {"lead_ids": "all"}}, "payload.lead_ids"),
        ({"kind": "leads.score", "payload": {"lead_ids": [POST_ID, 7]}}, "payload.lead_ids[1]"),
        ({"kind": "leads.score", "payload": {"lead_ids": [POST_ID] * 5_001}}, "payload.lead_ids"),
        ({"kind": "social.publish_post", "payload": {"post_id": 7}}, "payload.post_id"),
        ({"kind": "social.publish_post", "payload": {"post_id": POST_ID, "text": "a"}}, "payload"),
        ({"kind": "social.publish_post", "payload": {"account_id": POST_ID}}, "payload"),
        (
            {"kind": "social.publish_post", "payload": {"account_id": POST_ID, "text": "a\u0000b"}},
            "payload.text",
        ),
        (
            {
                "kind": "social.publish_post",
                "payload": {"account_id": POST_ID, "text": "a", "media": [{"asset_id": "../etc"}]},
            },
            "payload.media[0].asset_id",
        ),
        ({"kind": "quota.account", "payload": {"meter": "money"}}, "payload.meter"),
        ({"kind": "quota.account", "payload": {"period": "2026-13-01"}}, "payload.period"),
    ],
    ids=lambda value: str(value)[:60],
)
def test_a_body_that_breaks_a_rule_is_refused_by_field(
    client: httpx.Client, as_acme: Headers, acme: Tenant, recorded: Recorded, body: Any, field: str
) -> None:
    document = refused(post(client, as_acme, json.dumps(body).encode()), 422)
    assert fields(document) == [(None, field)]
    assert document["errors"][0]["message"]
    assert recorded(acme) == {}


def test_an_unknown_kind_is_told_the_known_ones(client: httpx.Client, as_acme: Headers) -> None:
    error = refused(post(client, as_acme, b'{"kind": "leads.nothing", "payload": {}}'), 422)["error"]
    assert "leads.score" in error
    assert "system." not in error


CAP = 4 * 1024 * 1024


def padded(size: int) -> bytes:
    """Return a good body of *size* bytes."""
    return GOOD + b" " * (size - len(GOOD))


def test_a_body_at_the_cap_is_read_and_one_byte_more_is_refused(
    client: httpx.Client, as_acme: Headers, acme: Tenant, recorded: Recorded
) -> None:
    document = refused(post(client, as_acme, padded(CAP + 1)), 413)
    assert document["limit_bytes"] == CAP
    assert recorded(acme) == {}
    assert post(client, as_acme, padded(CAP)).status_code == 202


def in_chunks(size: int, chunk: int = 64 * 1024) -> Iterator[bytes]:
    """Yield a good body of *size* bytes piece by piece: it is sent without a Content-Length."""
    body = padded(size)
    for start in range(0, size, chunk):
        yield body[start : start + chunk]


def test_a_chunked_body_over_the_cap_is_refused_while_it_streams(
    client: httpx.Client, as_acme: Headers, acme: Tenant, recorded: Recorded
) -> None:
    whole = client.post("/api/v1/jobs", content=in_chunks(CAP), headers=as_acme)
    assert whole.status_code == 202
    before = recorded(acme)
    connection = http.client.HTTPConnection(client.base_url.host, client.base_url.port or 80, timeout=60)
    connection.putrequest("POST", "/api/v1/jobs")
    for name, value in (as_acme | {"Transfer-Encoding": "chunked"}).items():
        connection.putheader(name, value)
    connection.endheaders()
    piece = b"%x\r\n%s\r\n" % (1024, b" " * 1024)
    for _ in range(CAP // 1024 + 1):
        connection.send(piece)  # and never the end
    answer = connection.getresponse()
    assert answer.status == 413
    assert answer.getheader("Content-Type") == "application/problem+json"
    assert json.loads(answer.read())["limit_bytes"] == CAP
    connection.close()
    assert recorded(acme) == before


def test_a_body_that_is_declared_too_large_is_refused_before_it_comes(
    client: httpx.Client, as_acme: Headers
) -> None:
    connection = http.client.HTTPConnection(client.base_url.host, client.base_url.port or 80, timeout=60)
    connection.putrequest("POST", "/api/v1/jobs")
    for name, value in (as_acme | {"Content-Length": str(CAP + 1)}).items():
        connection.putheader(name, value)
    connection.endheaders()
    assert connection.getresponse().status == 413
    connection.close()


def test_a_strangers_body_is_not_read(client: httpx.Client) -> None:
    refused(post(client, {}, b"{" * 1_000), 401)


@pytest.mark.parametrize("length", ["-1", "abc", "1e9", "99999999999999999999"])
def test_a_content_length_that_lies_is_refused(client: httpx.Client, as_acme: Headers, length: str) -> None:
    with socket.create_connection((client.base_url.host, client.base_url.port or 80), timeout=20) as raw:
        token = as_acme["Authorization"]
        lines = (
            "POST /api/v1/jobs HTTP/1.1",
            "Host: x",
            f"Authorization: {token}",
            f"Content-Length: {length}",
        )
        head = "\r\n".join([*lines, "", ""])
        raw.sendall(head.encode())
        status = int(raw.recv(65_536).split(b" ")[1])
    assert status in {400, 413}


TokenMaker = Callable[[Tenant, Settings], str]


def claims(tenant: Tenant, **changes: Any) -> dict[str, Any]:
    now = datetime.now(UTC)
    whole: dict[str, Any] = {
        "user_id": str(uuid4()),
        "organization_id": str(tenant.organization_id),
        "role": "owner",
        "iat": now,
        "exp": now + timedelta(minutes=5),
    } | changes
    return {name: value for name, value in whole.items() if value is not ...}


def signed(tenant: Tenant, settings: Settings, **changes: Any) -> str:
    return jwt.encode(claims(tenant, **changes), settings.jwt_secret.get_secret_value(), algorithm="HS256")


BAD_TOKENS: dict[str, TokenMaker] = {
    "expired": lambda tenant, settings: signed(
        tenant, settings, exp=datetime.now(UTC) - settings.jwt_leeway - timedelta(seconds=2)
    ),
    "wrong key": lambda tenant, _: jwt.encode(claims(tenant), "k" * 64, algorithm="HS256"),
    "alg none": lambda tenant, _: jwt.encode(claims(tenant), None, algorithm="none"),
    "other algorithm": lambda tenant, settings: jwt.encode(
        claims(tenant), settings.jwt_secret.get_secret_value() * 2, algorithm="HS512"
    ),
    "no organization": lambda tenant, settings: signed(tenant, settings, organization_id=...),
    "organization no uuid": lambda tenant, settings: signed(tenant, settings, organization_id="acme"),
    "no user": lambda tenant, settings: signed(tenant, settings, user_id=...),
    "no end": lambda tenant, settings: signed(tenant, settings, exp=...),
    "no beginning": lambda tenant, settings: signed(tenant, settings, iat=...),
    "cut": lambda tenant, settings: signed(tenant, settings)[:-3],
    "no token": lambda _tenant, _settings: "x",
}


@pytest.mark.parametrize("name", BAD_TOKENS)
@pytest.mark.parametrize(("method", "path"), [("POST", "/api/v1/jobs"), ("GET", "/api/v1/jobs")])
def test_a_bad_token_is_refused(
    client: httpx.Client,
    settings: Settings,
    acme: Tenant,
    recorded: Recorded,
    name: str,
    method: str,
    path: str,
) -> None:
    headers = {"Authorization": f"Bearer {BAD_TOKENS[name](acme, settings)}"}
    content = GOOD if method == "POST" else None
    refused(client.request(method, path, content=content, headers=headers), 401)
    assert recorded(acme) == {}


@pytest.mark.parametrize("authorization", [None, "", "Bearer", "Basic YTpi", "bearer"])
def test_no_token_is_refused(client: httpx.Client, authorization: str | None) -> None:
    headers = {} if authorization is None else {"Authorization": authorization}
    refused(post(client, headers, GOOD), 401)


def test_a_token_in_the_query_is_no_token(client: httpx.Client, acme: Tenant, settings: Settings) -> None:
    refused(client.get("/api/v1/jobs", params={"access_token": signed(acme, settings)}), 401)


@pytest.mark.parametrize("status", ["inactive", "suspended"])
def test_an_inactive_organization_is_refused(
    client: httpx.Client,
    organization: Callable[..., Tenant],
    sign: Callable[..., Headers],
    recorded: Recorded,
    status: str,
) -> None:
    tenant = organization(status=status)
    refused(post(client, sign(tenant), GOOD), 403)
    refused(client.get("/api/v1/jobs", headers=sign(tenant)), 403)
    assert recorded(tenant) == {}


def test_an_unknown_organization_is_refused_like_an_inactive_one(
    client: httpx.Client,
    acme: Tenant,
    sign: Callable[..., Headers],
    organization: Callable[..., Tenant],
) -> None:
    unknown = sign(acme, organization_id=str(uuid4()))
    inactive = sign(organization(status="inactive"))
    documents = [refused(post(client, headers, GOOD), 403) for headers in (unknown, inactive)]
    assert documents[0]["error"] == documents[1]["error"]


def test_a_suspension_is_in_force_within_seconds(
    client: httpx.Client, database: Database, acme: Tenant, as_acme: Headers
) -> None:
    assert client.get("/api/v1/jobs", headers=as_acme).status_code == 200
    with tenant_session(database, acme.organization_id) as session:
        session.execute(update(Organization).values(status="suspended"))
    suspended = time.monotonic()

    def is_refused() -> bool:
        asked = time.monotonic()
        status = client.get("/api/v1/jobs", headers=as_acme).status_code
        assert status == 403 or asked < suspended + 3, "who asked so late had to be refused"
        return status == 403

    wait_until(is_refused)


def test_the_plan_counts_that_is_in_force_not_the_one_in_the_token(
    client: httpx.Client,
    organization: Callable[..., Tenant],
    sign: Callable[..., Headers],
    recorded: Recorded,
) -> None:
    small = organization(plan="starter")
    headers = sign(small, subscription_plan="enterprise")
    refused(post(client, headers, b'{"kind": "leads.train_model", "payload": {}}'), 403)
    assert recorded(small) == {}


@pytest.mark.parametrize(
    ("role", "body", "permission"),
    [
        ("viewer", GOOD, "manage_jobs"),
        ("viewer", b'{"kind": "leads.score", "payload": {"all": true}}', "manage_leads"),
        ("nobody", GOOD, "manage_jobs"),
    ],
)
def test_a_missing_permission_is_refused_by_name(
    client: httpx.Client,
    acme: Tenant,
    sign: Callable[..., Headers],
    recorded: Recorded,
    role: str,
    body: bytes,
    permission: str,
) -> None:
    document = refused(post(client, sign(acme, role=role), body), 403)
    assert document["permission"] == permission
    assert recorded(acme) == {}


def test_a_batch_needs_the_permission_of_every_kind(
    client: httpx.Client, acme: Tenant, sign: Callable[..., Headers], recorded: Recorded
) -> None:
    headers = sign(acme, role=None, permissions=["manage_jobs"])
    jobs = [json.loads(GOOD), {"kind": "leads.score", "payload": {"all": True}}]
    document = refused(client.post("/api/v1/jobs/batch", json={"jobs": jobs}, headers=headers), 403)
    assert document["permission"] == "manage_leads"
    assert recorded(acme) == {}


def test_a_viewer_may_not_cancel(client: httpx.Client, acme: Tenant, sign: Callable[..., Headers]) -> None:
    job = post(client, sign(acme), GOOD).json()
    refused(client.post(f"/api/v1/jobs/{job['id']}/cancel", headers=sign(acme, role="viewer")), 403)
    assert (
        client.get(f"/api/v1/jobs/{job['id']}", headers=sign(acme, role="viewer")).json()["state"] == "queued"
    )


def test_an_id_that_is_no_uuid_is_refused_by_name(client: httpx.Client, as_acme: Headers) -> None:
    document = refused(client.get("/api/v1/jobs/1' OR true --", headers=as_acme), 422)
    assert fields(document) == [(None, "job_id")]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/api/v1/nothing", 404),
        ("GET", "/api/v1/jobs/", 404),
        ("PUT", "/api/v1/jobs", 405),
        ("DELETE", "/healthz", 405),
        ("GET", "/docs", 404),
    ],
)
def test_no_such_route(client: httpx.Client, as_acme: Headers, method: str, path: str, status: int) -> None:
    refused(client.request(method, path, headers=as_acme), status)
