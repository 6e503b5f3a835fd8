"""Tokens: what is accepted, and every way in which one is refused."""

import base64
import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from config.settings import Settings
from intake.auth import Caller, verify
from intake.problem import ForbiddenError, UnauthenticatedError
from models.user import ROLE_PERMISSIONS, Permission, Role

SECRET = "the-secret-of-these-tests-" * 3
ORGANIZATION = UUID("01932c07-0000-7000-8000-000000000001")


@pytest.fixture(scope="module")
def settings() -> Settings:
    return Settings.model_construct(jwt_secret=SecretStr(SECRET))


def claims(**changes: Any) -> dict[str, Any]:
    now = datetime.now(UTC)
    whole = {
        "user_id": str(uuid4()),
        "organization_id": str(ORGANIZATION),
        "organization_name": "Acme",
        "subscription_plan": "starter",
        "role": "member",
        "permissions": ["manage_campaigns"],
        "iat": now,
        "exp": now + timedelta(hours=1),
    } | changes
    return {name: value for name, value in whole.items() if value is not ...}


def signed(*, key: str = SECRET, algorithm: str = "HS256", **changes: Any) -> str:
    return jwt.encode(claims(**changes), key, algorithm=algorithm)


def part(content: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(content).encode()).rstrip(b"=").decode()


def refusal(token: str, settings: Settings) -> UnauthenticatedError:
    with pytest.raises(UnauthenticatedError) as caught:
        verify(token, settings)
    assert caught.value.status == 401
    assert caught.value.headers["WWW-Authenticate"].startswith("Bearer ")
    assert token not in caught.value.detail
    return caught.value


def test_a_good_token_names_organization_user_and_permissions(settings: Settings) -> None:
    identity = verify(signed(user_id="u-1", role="viewer"), settings)
    assert identity.organization_id == ORGANIZATION
    assert identity.user_id == "u-1"
    assert identity.permissions == {"manage_campaigns", "view_analytics", "view_jobs"}


@pytest.mark.parametrize("role", list(Role))
def test_a_role_grants_what_its_table_says(settings: Settings, role: Role) -> None:
    assert verify(signed(role=role, permissions=...), settings).permissions == ROLE_PERMISSIONS[role]


def test_an_unknown_role_grants_nothing(settings: Settings) -> None:
    assert verify(signed(role="root", permissions=...), settings).permissions == frozenset()


def test_an_expired_token_is_refused(settings: Settings) -> None:
    late = datetime.now(UTC) - settings.jwt_leeway - timedelta(seconds=2)
    assert "expired" in refusal(signed(exp=late), settings).detail


def test_clocks_may_differ_by_the_leeway(settings: Settings) -> None:
    verify(signed(exp=datetime.now(UTC) - settings.jwt_leeway / 2), settings)


def test_a_token_from_the_future_is_refused(settings: Settings) -> None:
    refusal(signed(iat=datetime.now(UTC) + timedelta(minutes=5)), settings)
    refusal(signed(nbf=datetime.now(UTC) + timedelta(minutes=5)), settings)


def test_another_key_is_refused(settings: Settings) -> None:
    refusal(signed(key="another-secret-of-these-tests-" * 3), settings)


@pytest.mark.parametrize("algorithm", ["none", "None", "nOnE", ""])
def test_an_unsigned_token_is_refused(settings: Settings, algorithm: str) -> None:
    body = claims()
    body |= {name: int(body[name].timestamp()) for name in ("iat", "exp")}
    header = part({"alg": algorithm, "typ": "JWT"})
    refusal(f"{header}.{part(body)}.", settings)
    signature = signed().rsplit(".", 1)[1]
    refusal(f"{header}.{part(body)}.{signature}", settings)


@pytest.mark.parametrize("algorithm", ["HS384", "HS512"])
def test_another_algorithm_with_the_right_key_is_refused(settings: Settings, algorithm: str) -> None:
    refusal(signed(algorithm=algorithm), settings)


def test_a_token_signed_with_a_private_key_is_refused(settings: Settings) -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    refusal(jwt.encode(claims(), key, algorithm="RS256"), settings)


def test_a_token_with_another_organization_under_the_old_signature_is_refused(settings: Settings) -> None:
    header, _, signature = signed().split(".")
    body = claims(organization_id=str(uuid4()))
    body |= {name: int(body[name].timestamp()) for name in ("iat", "exp")}
    refusal(f"{header}.{part(body)}.{signature}", settings)


@pytest.mark.parametrize("claim", ["exp", "iat", "organization_id", "user_id"])
@pytest.mark.parametrize("value", [..., None])
def test_a_token_that_lacks_a_claim_is_refused_and_told_which(
    settings: Settings, claim: str, value: object
) -> None:
    changes: dict[str, Any] = {claim: value}
    assert claim in refusal(signed(**changes), settings).detail


@pytest.mark.parametrize(
    "changes",
    [
        {"organization_id": 7},
        {"organization_id": ["a"]},
        {"organization_id": {"$ne": None}},
        {"organization_id": ""},
        {"organization_id": "acme"},
        {"organization_id": f"{ORGANIZATION}' OR true --"},
        {"user_id": 7},
        {"user_id": ""},
        {"user_id": "u" * 201},
        {"role": 7},
        {"role": ["owner"]},
        {"permissions": "manage_campaigns"},
        {"permissions": [1]},
        {"permissions": {"manage_campaigns": True}},
        {"permissions": ["p"] * 201},
        {"exp": "soon"},
        {"iat": "now"},
        {"exp": 1e400},
        {"sub": 7},
        {"jti": 7},
        {"jti": ""},
        {"jti": "t" * 201},
        {"user_id": "api-key:01932c07-0000-7000-8000-000000000001"},
        {"user_id": "ann\x00"},
    ],
)
def test_claims_of_the_wrong_type_are_refused(settings: Settings, changes: dict[str, Any]) -> None:
    body = claims()
    body |= {name: int(body[name].timestamp()) for name in ("iat", "exp")}
    raw = json.dumps(body | changes).encode()
    refusal(jwt.PyJWS().encode(raw, SECRET, algorithm="HS256"), settings)


@pytest.mark.parametrize(
    "token",
    ["", ".", "..", "a.b.c", "Bearer", "\x00", "ü", "e30.e30.e30", "x" * 100_000, "[" * 8_000],
    ids=lambda token: token[:8],
)
def test_what_is_no_token_is_refused(settings: Settings, token: str) -> None:
    with pytest.raises(UnauthenticatedError):
        verify(token, settings)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    ),
    st.sampled_from(["alg", "typ", "kid", "crit", "b64", "jwk", "x5u"]),
)
def test_no_header_makes_it_fail_otherwise_than_by_refusing(
    settings: Settings, value: Any, name: str
) -> None:
    header = part({"alg": "HS256"} | {name: value})
    with pytest.raises(UnauthenticatedError):
        verify(f"{header}.{part(claims(iat=1, exp=2))}.{'A' * 43}", settings)


def caller(tenant: Any, permissions: frozenset[str]) -> Caller:
    return Caller(tenant=tenant, user_id="u-1", permissions=permissions)


def test_a_missing_permission_is_refused_and_named() -> None:
    with pytest.raises(ForbiddenError, match="manage_leads"):
        caller(None, frozenset({"view_jobs"})).require(Permission.MANAGE_LEADS)
    caller(None, frozenset({"manage_leads"})).require(Permission.MANAGE_LEADS)


def test_a_user_id_of_another_issuer_is_no_user_of_ours() -> None:
    assert caller(None, frozenset()).user_uuid is None
