"""Tokens of an issuer with published keys: good ones come in, and nobody gets around the signature."""

import hashlib
import hmac
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx
import jwt
import pytest

from config.settings import Settings
from models.organization import Tenant
from tests.integration.access.issuer import Issuer, new_rsa, part, public_pem, published
from tests.integration.intake.conftest import serving
from tests.integration.intake.problems import refused
from tests.support.wait import wait_until

URL = "/api/v1/usage"
HOUR = timedelta(hours=1)


def call(client: httpx.Client, token: str) -> httpx.Response:
    return client.get(URL, headers={"Authorization": f"Bearer {token}"})


def hmac_token(issuer: Issuer, tenant: Tenant, key: bytes, **header: str) -> str:
    """Sign with HS256 whatever the key is: PyJWT itself refuses to sign with a public key."""
    body = f"{part({'typ': 'JWT', 'alg': 'HS256', 'kid': 'rsa'} | header)}.{part(issuer.claims(tenant))}"
    digest = hmac.digest(key, body.encode(), hashlib.sha256)
    return f"{body}.{jwt.utils.base64url_encode(digest).decode()}"


def test_tokens_of_both_of_the_issuers_keys_come_in(
    strict: httpx.Client, issuer: Issuer, tenant: Tenant
) -> None:
    assert call(strict, issuer.token(tenant)).status_code == 200
    edwards = issuer.token(tenant, key=issuer.ed, algorithm="EdDSA", header={"kid": "ed"})
    assert call(strict, edwards).status_code == 200


@pytest.mark.parametrize("key", ["pem", "pem without its last line break", "jwk"])
@pytest.mark.parametrize("kid", ["rsa", "ed"])
def test_a_token_signed_with_the_public_key_as_a_shared_secret_is_refused(
    strict: httpx.Client, issuer: Issuer, tenant: Tenant, key: str, kid: str
) -> None:
    pem = public_pem(issuer.rsa)
    secret = {"pem": pem, "jwk": json.dumps(issuer.keys["rsa"]).encode()}.get(key, pem.rstrip())
    refused(call(strict, hmac_token(issuer, tenant, secret, kid=kid)), 401)


def test_a_token_of_our_own_secret_is_refused_where_the_issuer_is_known_unless_told_otherwise(
    strict: httpx.Client, strict_settings: Settings, issuer: Issuer, tenant: Tenant
) -> None:
    token = hmac_token(issuer, tenant, strict_settings.jwt_secret.get_secret_value().encode())
    assert "HS256" in refused(call(strict, token), 401)["error"]
    lenient = strict_settings.model_copy(update={"jwt_secret_beside_jwks": True})
    with serving(lenient) as url, httpx.Client(base_url=url, timeout=60) as client:
        assert call(client, token).status_code == 200
        assert call(client, issuer.token(tenant)).status_code == 200
        refused(call(client, hmac_token(issuer, tenant, public_pem(issuer.rsa))), 401)


@pytest.mark.parametrize("algorithm", ["none", "None", "nOnE", "", "HS512", "RS512", "PS256", "ES256"])
def test_another_algorithm_than_the_keys_own_is_refused(
    strict: httpx.Client, issuer: Issuer, tenant: Tenant, algorithm: str
) -> None:
    good = issuer.token(tenant).rsplit(".", 1)[1]
    for signature in ("", good):
        refused(call(strict, issuer.forged(tenant, {"alg": algorithm, "kid": "rsa"}, signature)), 401)


@pytest.mark.parametrize("algorithm", ["RS384", "RS512", "PS256"])
def test_a_real_signature_by_another_algorithm_than_the_key_was_published_for_is_refused(
    strict: httpx.Client, issuer: Issuer, tenant: Tenant, algorithm: str
) -> None:
    refused(call(strict, issuer.token(tenant, algorithm=algorithm)), 401)


@pytest.mark.parametrize(
    "kid",
    [
        "../../../../dev/null",
        "file:///etc/passwd",
        "http://127.0.0.1:9/jwks.json",
        "rsa' OR '1'='1",
        "rsa\x00",
        "",
        "k" * 201,
        7,
        None,
        ["rsa"],
        {"kid": "rsa"},
    ],
    ids=str,
)
def test_a_key_id_is_looked_up_and_never_followed(
    strict: httpx.Client, issuer: Issuer, tenant: Tenant, kid: Any
) -> None:
    for key in (new_rsa(), issuer.rsa):
        body = f"{part({'alg': 'RS256', 'kid': kid})}.{part(issuer.claims(tenant))}"
        signature = jwt.algorithms.RSAAlgorithm(jwt.algorithms.RSAAlgorithm.SHA256).sign(body.encode(), key)
        refused(call(strict, f"{body}.{jwt.utils.base64url_encode(signature).decode()}"), 401)
    assert set(issuer.asked) <= {"/jwks.json"}


@pytest.mark.parametrize("place", ["jku", "x5u", "jwk", "x5c"])
def test_a_key_that_the_token_brings_along_is_not_used(
    strict: httpx.Client, tenant: Tenant, issuer: Issuer, place: str
) -> None:
    own = new_rsa()
    with Issuer() as evil:
        evil.keys = {"rsa": published(own, "rsa")}
        brought = {"jku": evil.url, "x5u": evil.url, "jwk": evil.keys["rsa"], "x5c": ["MIIB"]}[place]
        token = issuer.token(tenant, key=own, header={"kid": "rsa", place: brought})
        refused(call(strict, token), 401)
        assert evil.asked == []


BAD_CLAIMS: dict[str, Callable[[datetime], dict[str, Any]]] = {
    "expired": lambda now: {"exp": now - HOUR},
    "not yet good": lambda now: {"nbf": now + HOUR},
    "issued in the future": lambda now: {"iat": now + HOUR},
    "another audience": lambda _: {"aud": "another-service"},
    "several audiences, ours not among them": lambda _: {"aud": ["another-service", "genius-test"]},
    "no audience": lambda _: {"aud": ...},
    "an issuer of nearly our name": lambda _: {"iss": "https://login.example.org"},
    "another issuer": lambda _: {"iss": "https://evil.example.org/"},
    "no issuer": lambda _: {"iss": ...},
    "without end": lambda _: {"exp": ...},
}


@pytest.mark.parametrize("what", list(BAD_CLAIMS))
def test_a_token_out_of_time_or_for_somebody_else_is_refused(
    strict: httpx.Client, issuer: Issuer, tenant: Tenant, what: str
) -> None:
    refused(call(strict, issuer.token(tenant, **BAD_CLAIMS[what](datetime.now(UTC)))), 401)


def test_a_token_that_names_another_tenant_under_a_good_signature_is_refused(
    strict: httpx.Client, issuer: Issuer, tenant: Tenant, organization: Callable[..., Tenant]
) -> None:
    header, _, signature = issuer.token(tenant).split(".")
    body = part(issuer.claims(organization(name="Victim")))
    refused(call(strict, f"{header}.{body}.{signature}"), 401)


def test_a_flood_of_unknown_key_ids_asks_the_issuer_once(
    strict_settings: Settings, issuer: Issuer, tenant: Tenant
) -> None:
    patient = strict_settings.model_copy(update={"jwks_retry": HOUR})
    with serving(patient) as url, httpx.Client(base_url=url, timeout=60) as client:
        before = len(issuer.asked)
        for _ in range(100):
            refused(call(client, issuer.token(tenant, header={"kid": uuid4().hex})), 401)
        assert len(issuer.asked) == before + 1
        assert call(client, issuer.token(tenant)).status_code == 200


def test_a_new_key_is_found_a_withdrawn_one_ends_and_an_outage_changes_nothing(
    strict: httpx.Client, strict_settings: Settings, issuer: Issuer, tenant: Tenant
) -> None:
    quick = strict_settings.model_copy(update={"jwks_refresh": timedelta(seconds=1)})
    fresh, known = new_rsa(), dict(issuer.keys)
    new_token = issuer.token(tenant, key=fresh, header={"kid": "fresh"})
    with serving(quick) as url, httpx.Client(base_url=url, timeout=60) as client:
        assert call(client, issuer.token(tenant)).status_code == 200
        issuer.keys = {"fresh": published(fresh, "fresh")}
        try:
            wait_until(lambda: call(client, new_token).status_code == 200)
            wait_until(lambda: call(client, issuer.token(tenant)).status_code == 401)
            issuer.is_away, asked = True, len(issuer.asked)
            wait_until(lambda: call(client, new_token).status_code == 200 and len(issuer.asked) > asked + 1)
        finally:
            issuer.keys, issuer.is_away = known, False


def test_while_the_issuer_was_never_reached_nobody_comes_in(
    strict_settings: Settings, issuer: Issuer, tenant: Tenant
) -> None:
    issuer.is_away = True
    try:
        with serving(strict_settings) as url, httpx.Client(base_url=url, timeout=60) as client:
            assert refused(call(client, issuer.token(tenant)), 503)["type"].endswith("issuer-unavailable")
    finally:
        issuer.is_away = False
