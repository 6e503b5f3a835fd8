"""What was revoked does not come in again, whoever presents it, at whichever intake, Redis or not."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import jwt
import pytest
import redis
from sqlalchemy import select, update

from config.settings import Settings
from intake.auth import remember
from models.audit import AuditEntry
from models.organization import Tenant
from models.session import Database, tenant_session
from models.user import Role, User, UserStatus
from ops.port import free_port
from tests.integration.intake.conftest import serving
from tests.integration.intake.problems import fields, refused
from tests.support.in_process import genius
from tests.support.wait import wait_until
from worker.publish import CHANGED, Publisher

Headers = dict[str, str]
Sign = Callable[..., Headers]

URL = "/api/v1/usage"


def comes_in(client: httpx.Client, headers: Headers) -> bool:
    answer = client.get(URL, headers=headers)
    assert answer.status_code in {200, 401, 403}, answer.text
    return answer.status_code == 200


def revoke(client: httpx.Client, headers: Headers, **body: Any) -> httpx.Response:
    answer = client.post("/api/v1/revocations", json=body, headers=headers)
    assert answer.status_code == 201, answer.text
    return answer


def earlier() -> int:
    return int((datetime.now(UTC) - timedelta(minutes=1)).timestamp())


def test_a_revoked_token_is_refused_when_it_is_replayed_and_others_of_its_user_are_not(
    client: httpx.Client, sign: Sign, acme: Tenant
) -> None:
    admin, stolen, other = sign(acme), sign(acme, jti="stolen", user_id="ann"), sign(acme, user_id="ann")
    assert comes_in(client, stolen)
    revoke(client, admin, target="token", subject="stolen", reason="found in a log")
    for _ in range(3):
        assert "revoked" in refused(client.get(URL, headers=stolen), 401)["error"]
    assert comes_in(client, other)


def test_all_tokens_of_a_user_or_of_everybody_end_at_a_moment_and_newer_ones_hold(
    client: httpx.Client, sign: Sign, acme: Tenant, globex: Tenant
) -> None:
    ann, bob, stranger = (
        sign(acme, user_id="ann", iat=earlier()),
        sign(acme, user_id="bob", iat=earlier()),
        sign(globex, user_id="ann", iat=earlier()),
    )
    admin = sign(acme, iat=earlier())
    revoke(client, admin, target="user", subject="ann")
    assert [comes_in(client, who) for who in (ann, bob, stranger)] == [False, True, True]
    revoked = revoke(client, admin, target="organization").json()
    assert [comes_in(client, who) for who in (ann, bob, stranger, admin)] == [False, False, True, False]
    next_second = int(datetime.fromisoformat(revoked["issued_before"]).timestamp()) + 1
    assert comes_in(client, sign(acme, user_id="bob", iat=next_second)), "issued after"


def test_a_later_revocation_is_not_taken_back_by_an_earlier_one(
    client: httpx.Client, sign: Sign, acme: Tenant
) -> None:
    ann, admin = sign(acme, user_id="ann", iat=earlier()), sign(acme)
    first = revoke(client, admin, target="user", subject="ann").json()
    long_ago = (datetime.now(UTC) - timedelta(days=30)).isoformat()
    again = revoke(client, admin, target="user", subject="ann", issued_before=long_ago).json()
    assert (again["id"], again["issued_before"]) == (first["id"], first["issued_before"])
    assert not comes_in(client, ann)
    listed = client.get("/api/v1/revocations", headers=admin).json()["items"]
    assert [(one["target"], one["subject"]) for one in listed] == [("user", "ann")]


def test_another_intake_hears_of_it_at_once(
    client: httpx.Client, settings: Settings, sign: Sign, acme: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    admin, ann = sign(acme), sign(acme, jti="t", user_id="ann")
    monkeypatch.setattr(remember, "REMEMBERED", timedelta(hours=1))
    with redis.Redis.from_url(str(settings.redis_url)) as server:
        wait_until(lambda: server.pubsub_numsub(CHANGED)[0][1] == 1, message="the one intake listens")
        with serving(settings) as url, httpx.Client(base_url=url, timeout=60) as other:
            wait_until(lambda: server.pubsub_numsub(CHANGED)[0][1] == 2, message="and so does the other")
            assert comes_in(other, ann)
            revoke(client, admin, target="token", subject="t")
            wait_until(lambda: not comes_in(other, ann))


def test_without_redis_the_database_is_asked(
    client: httpx.Client, settings: Settings, sign: Sign, acme: Tenant
) -> None:
    admin, ann = sign(acme), sign(acme, jti="t", user_id="ann")
    alone = Settings.model_validate(
        settings.model_dump() | {"redis_url": f"redis://127.0.0.1:{free_port()}/0"}
    )
    with serving(alone) as url, httpx.Client(base_url=url, timeout=30) as other:
        assert comes_in(other, ann)
        revoke(client, admin, target="token", subject="t")
        wait_until(lambda: not comes_in(other, ann))


def test_an_operator_revokes_by_command(
    client: httpx.Client, settings: Settings, sign: Sign, acme: Tenant, environment: dict[str, str]
) -> None:
    assert settings
    minted = genius("token", "--org", str(acme.organization_id), environment=environment).stdout.strip()
    token_id = jwt.decode(minted, options={"verify_signature": False})["jti"]
    headers = {"Authorization": f"Bearer {minted}"}
    assert comes_in(client, headers)
    asked = ("token", "revoke", "--org", str(acme.organization_id), "--token-id", token_id)
    assert genius(*asked, environment=environment).exit_code == 0
    wait_until(lambda: not comes_in(client, headers))
    assert comes_in(client, sign(acme))


def test_nobody_revokes_tokens_of_another_tenant_or_without_the_permission(
    client: httpx.Client, sign: Sign, acme: Tenant, globex: Tenant
) -> None:
    ann = sign(acme, jti="t", user_id="ann")
    for body in ({"target": "token", "subject": "t"}, {"target": "user", "subject": "ann"}):
        revoke(client, sign(globex), **body)
        denied = client.post("/api/v1/revocations", json=body, headers=sign(acme, role="member"))
        refused(denied, 403)
    assert comes_in(client, ann)
    [mine] = client.get("/api/v1/revocations?target=token", headers=sign(globex)).json()["items"]
    refused(client.get(f"/api/v1/revocations/{mine['id']}", headers=sign(acme)), 404)


@pytest.mark.parametrize(
    "body",
    [
        {"target": "token"},
        {"target": "user"},
        {"target": "organization", "subject": "acme"},
        {"target": "token", "subject": "t", "issued_before": "2026-01-01T00:00:00Z"},
        {"target": "organization", "issued_before": "2099-01-01T00:00:00Z"},
    ],
)
def test_a_revocation_that_would_mean_something_else_is_refused(
    client: httpx.Client, as_acme: Headers, body: dict[str, Any]
) -> None:
    answer = client.post("/api/v1/revocations", json=body, headers=as_acme)
    assert fields(refused(answer, 422)) == [(None, "body")]


def test_revocations_are_audited_with_who_and_why(
    client: httpx.Client, sign: Sign, acme: Tenant, database: Database
) -> None:
    revoke(client, sign(acme, user_id="root"), target="user", subject="ann", reason="left")
    with tenant_session(database, acme.organization_id) as session:
        actions = session.scalars(select(AuditEntry.action)).all()
    assert "revocations.insert" in actions


@pytest.fixture
def ann(database: Database, acme: Tenant) -> User:
    with tenant_session(database, acme.organization_id) as session:
        user = User(
            organization_id=acme.organization_id,
            email="ann@example.org",
            email_norm="ann@example.org",
            role=Role.ADMIN,
        )
        session.add(user)
        session.flush()
    return user


Change = Callable[..., None]


@pytest.fixture
def change(database: Database, ann: User, settings: Settings) -> Change:
    """Change Ann as other processes do, which say so; or behind the intake's back."""

    def change_user(*, said: bool = True, **values: Any) -> None:
        with tenant_session(database, ann.organization_id) as session:
            session.execute(update(User).where(User.id == ann.id).values(**values))
        if said:
            Publisher(settings).announce(ann.organization_id)

    return change_user


def test_a_disabled_or_removed_user_is_out_within_seconds(
    client: httpx.Client, sign: Sign, acme: Tenant, ann: User, change: Change
) -> None:
    headers = sign(acme, user_id=str(ann.id))
    assert comes_in(client, headers)
    change(status=UserStatus.DISABLED)
    wait_until(lambda: not comes_in(client, headers))
    assert refused(client.get(URL, headers=headers), 403)["type"].endswith("user-inactive")
    change(status=UserStatus.ACTIVE)
    wait_until(lambda: comes_in(client, headers))
    change(deleted_at=datetime.now(UTC))
    wait_until(lambda: not comes_in(client, headers))


def test_a_role_of_now_bounds_what_a_token_of_before_permits(
    client: httpx.Client, sign: Sign, acme: Tenant, ann: User, change: Change
) -> None:
    old = sign(acme, user_id=str(ann.id), role="owner", permissions=["manage_users"])
    narrow = sign(acme, user_id=str(ann.id), role="viewer")

    def managers() -> list[bool]:
        answers = [client.get("/api/v1/revocations", headers=who) for who in (old, narrow)]
        return [answer.status_code == 200 for answer in answers]

    assert managers() == [True, False], "a token may say less than the role"
    change(role=Role.VIEWER, said=False)
    wait_until(lambda: managers() == [False, False])
    assert comes_in(client, old)


def test_a_token_that_names_no_rights_has_those_of_the_role_of_now(
    client: httpx.Client, acme: Tenant, ann: User, change: Change, settings: Settings
) -> None:
    now = datetime.now(UTC)
    claims = {
        "user_id": str(ann.id),
        "organization_id": str(acme.organization_id),
        "iat": now,
        "exp": now + timedelta(minutes=5),
    }
    token = jwt.encode(claims, settings.jwt_secret.get_secret_value(), algorithm="HS256")
    headers = {"Authorization": f"Bearer {token}"}

    def manages() -> bool:
        return client.get("/api/v1/revocations", headers=headers).status_code == 200

    assert manages()
    change(role=Role.VIEWER)
    wait_until(lambda: not manages())
    change(role=Role.ADMIN)
    wait_until(manages)


def test_a_user_of_the_same_id_in_another_organization_means_nothing(
    client: httpx.Client, sign: Sign, globex: Tenant, ann: User, change: Change
) -> None:
    change(status=UserStatus.DISABLED)
    assert comes_in(client, sign(globex, user_id=str(ann.id)))
