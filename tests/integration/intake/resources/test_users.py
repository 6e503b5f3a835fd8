"""People: invited, given roles, disabled, removed; nobody reaches above themselves and an owner stays."""

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from models.organization import Tenant
from models.user import Role, UserStatus
from tests.integration.intake.problems import fields, refused
from tests.integration.intake.resources.conftest import at_once

Headers = dict[str, str]
Person = Callable[..., str]
USERS = "/api/v1/users"


@pytest.fixture
def as_admin(sign: Callable[..., Headers], acme: Tenant) -> Headers:
    return sign(acme, role="admin")


def invite(client: httpx.Client, headers: Headers, email: str, **more: Any) -> httpx.Response:
    return client.post(USERS, json={"email": email} | more, headers=headers)


def test_somebody_is_invited_accepts_rises_is_disabled_removed_and_invited_again(
    client: httpx.Client, as_acme: Headers, acme: Tenant, sign: Callable[..., Headers], person: Person
) -> None:
    person(acme, Role.OWNER)
    invited = invite(client, as_acme, " Ann@Example.org ", name="Ann")
    ann, path = invited.json(), invited.headers["location"]
    assert (ann["email"], ann["role"], ann["status"]) == ("Ann@Example.org", "member", "invited")
    assert fields(refused(invite(client, as_acme, "ann@example.ORG"), 409)) == [(None, "email")]

    as_ann = sign(acme, role="member", user_id=ann["id"])
    assert client.get(f"{USERS}/me", headers=as_ann).json()["id"] == ann["id"]
    assert client.post(f"{USERS}/me/accept", headers=as_ann).json()["status"] == "active"
    assert "status" in refused(client.post(f"{USERS}/me/accept", headers=as_ann), 409)["detail"]

    for change in ({"role": "owner"}, {"status": "disabled", "role": "viewer"}):
        assert client.patch(path, json=change, headers=as_acme).json().items() >= change.items()
    assert client.delete(path, headers=as_acme).status_code == 204
    assert invite(client, as_acme, "ann@example.org").status_code == 201
    assert fields(refused(client.post(f"{path}/restore", headers=as_acme), 409)) == [(None, "email")]


def test_an_address_says_who_somebody_is_and_stays(client: httpx.Client, as_acme: Headers) -> None:
    path = invite(client, as_acme, "ann@example.org").headers["location"]
    assert fields(refused(client.patch(path, json={"email": "eve@example.org"}, headers=as_acme), 422)) == [
        (None, "email")
    ]
    found = client.get(USERS, params={"email": "ann@example.org"}, headers=as_acme).json()["items"]
    assert [user["email"] for user in found] == ["ann@example.org"]


@pytest.mark.parametrize(
    ("act", "target"),
    [
        ("invite", Role.OWNER),
        ("raise", Role.ADMIN),
        ("raise", Role.VIEWER),
        ("lower", Role.OWNER),
        ("disable", Role.OWNER),
        ("rename", Role.OWNER),
        ("remove", Role.OWNER),
        ("restore", Role.OWNER),
        ("bulk", Role.MEMBER),
    ],
)
def test_an_admin_neither_makes_nor_touches_an_owner(
    client: httpx.Client,
    as_acme: Headers,
    as_admin: Headers,
    acme: Tenant,
    person: Person,
    act: str,
    target: Role,
) -> None:
    person(acme, Role.OWNER)
    path = f"{USERS}/{person(acme, target)}"
    if act == "restore":
        assert client.delete(path, headers=as_acme).status_code == 204
    bulk = {"change": [{"id": path.rpartition("/")[2], "set": {"role": "owner"}}]}
    method, where, body = {
        "invite": ("POST", USERS, {"email": "eve@example.org", "role": "owner"}),
        "raise": ("PATCH", path, {"role": "owner"}),
        "lower": ("PATCH", path, {"role": "viewer"}),
        "disable": ("PATCH", path, {"status": "disabled"}),
        "rename": ("PATCH", path, {"name": "Eve"}),
        "remove": ("DELETE", path, {}),
        "restore": ("POST", f"{path}/restore", {}),
        "bulk": ("POST", f"{USERS}/bulk", bulk),
    }[act]
    document = refused(client.request(method, where, json=body, headers=as_admin), 403)
    assert (document["role"], document["permissions"]) == ("owner", ["manage_owners"])
    assert client.request(method, where, json=body, headers=as_acme).is_success, "an owner may"


def test_who_may_manage_users_alone_gives_no_role_that_permits_more(
    client: httpx.Client, acme: Tenant, sign: Callable[..., Headers]
) -> None:
    headers = sign(acme, role=None, permissions=["manage_users", "view_jobs", "view_analytics"])
    assert invite(client, headers, "v@example.org", role="viewer").status_code == 201
    for role in ("member", "admin", "owner"):
        assert refused(invite(client, headers, "m@example.org", role=role), 403)["role"] == role


@pytest.mark.parametrize("role", ["member", "viewer"])
def test_members_see_themselves_and_manage_nobody(
    client: httpx.Client, acme: Tenant, sign: Callable[..., Headers], person: Person, role: str
) -> None:
    own = person(acme, Role(role))
    headers = sign(acme, role=role, user_id=own)
    for method, path in (
        ("GET", USERS),
        ("POST", USERS),
        ("GET", f"{USERS}/{own}"),
        ("PATCH", f"{USERS}/{own}"),
        ("DELETE", f"{USERS}/{own}"),
        ("POST", f"{USERS}/bulk"),
    ):
        document = refused(client.request(method, path, json={"role": "owner"}, headers=headers), 403)
        assert document["permission"] == "manage_users"
    assert client.get(f"{USERS}/me", headers=headers).json()["role"] == role


def test_the_last_active_owner_stays_whatever_is_tried_at_once(
    client: httpx.Client, as_acme: Headers, acme: Tenant, person: Person
) -> None:
    owners = [person(acme, Role.OWNER) for _ in range(8)]
    person(acme, Role.OWNER, UserStatus.INVITED)
    acts: list[tuple[str, str, dict[str, Any]]] = []
    for n, owner in enumerate(owners):
        bulk = {"change": [{"id": owner, "set": {"role": "admin"}}]}
        acts.append(
            [
                ("PATCH", f"{USERS}/{owner}", {"role": "member"}),
                ("PATCH", f"{USERS}/{owner}", {"status": "disabled"}),
                ("DELETE", f"{USERS}/{owner}", {}),
                ("POST", f"{USERS}/bulk", bulk),
            ][n % 4]
        )

    def send(method: str, path: str, body: dict[str, Any]) -> Callable[[], httpx.Response]:
        return lambda: client.request(method, path, json=body, headers=as_acme)

    answers = at_once([send(*act) for act in acts])
    assert sorted(answer.is_success for answer in answers) == [False] + [True] * 7
    [last] = [answer for answer in answers if not answer.is_success]
    [(_, field)] = fields(refused(last, 409))
    assert field.removeprefix("change[0].") == "role"
    left = client.get(USERS, params={"role": "owner", "status": "active"}, headers=as_acme).json()["items"]
    assert len(left) == 1


def test_many_at_once_get_exactly_the_users_of_the_plan(
    client: httpx.Client, organization: Callable[..., Tenant], sign: Callable[..., Headers]
) -> None:
    headers = sign(organization(plan="starter"))
    answers = at_once([lambda n=n: invite(client, headers, f"u{n}@example.org") for n in range(6)])  # type: ignore[misc]
    assert sorted(answer.status_code for answer in answers) == [201] * 3 + [403] * 3


def test_another_organizations_people_do_not_exist(
    client: httpx.Client, as_acme: Headers, as_globex: Headers, globex: Tenant, person: Person
) -> None:
    foreign = f"{USERS}/{person(globex, Role.OWNER)}"
    address = client.get(foreign, headers=as_globex).json()["email"]
    for method, path in (("GET", ""), ("PATCH", ""), ("DELETE", ""), ("POST", "/restore")):
        refused(client.request(method, foreign + path, json={}, headers=as_acme), 404)
    assert invite(client, as_acme, address).status_code == 201, "a taken address would tell that it is there"
    assert client.get(USERS, headers=as_acme).json()["items"][0]["status"] == "invited"


def test_roles_tell_what_they_permit(client: httpx.Client, as_acme: Headers) -> None:
    permits = {
        each["role"]: each["permissions"] for each in client.get("/api/v1/roles", headers=as_acme).json()
    }
    assert "manage_owners" in permits["owner"]
    assert "manage_owners" not in permits["admin"]
    assert permits["viewer"] == ["view_analytics", "view_jobs"]
