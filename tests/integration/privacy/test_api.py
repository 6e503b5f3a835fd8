"""What the API tells of the audit log, and whom it lets export and erase."""

from collections.abc import Callable, Iterator
from uuid import UUID, uuid4

import httpx
import pytest

from config.settings import Settings
from models.organization import Tenant
from models.user import Role
from ops.token import mint_token
from tests.integration.intake.conftest import serving

Headers = dict[str, str]
ANN = uuid4()


@pytest.fixture
def client(settings: Settings) -> Iterator[httpx.Client]:
    with serving(settings) as url, httpx.Client(base_url=f"{url}/api/v1", timeout=30) as client:
        yield client


@pytest.fixture
def sign(settings: Settings) -> Callable[..., Headers]:
    def headers(tenant: Tenant, role: Role = Role.OWNER, user: UUID = ANN) -> Headers:
        return {"Authorization": f"Bearer {mint_token(settings, tenant, role=role, user_id=user)}"}

    return headers


def test_a_change_is_found_by_who_made_it_in_which_request_and_to_what(
    client: httpx.Client, organization: Callable[..., Tenant], sign: Callable[..., Headers]
) -> None:
    acme, globex = organization(name="Acme"), organization(name="Globex")
    mine, theirs = sign(acme), sign(globex)
    for number in range(3):
        body = {"name": f"Campaign {number}"}
        made = client.post("/campaigns", json=body, headers=mine | {"X-Request-ID": f"request-{number}"})
        assert made.status_code == 201, made.text

    def actions(headers: Headers = mine, **filters: str) -> list[str]:
        shown = client.get("/audit", params=filters, headers=headers).json()["items"]
        return [entry["action"] for entry in shown]

    assert actions() == ["campaigns.insert"] * 3 + ["organizations.insert"]
    assert actions(actor=str(ANN)) == ["campaigns.insert"] * 3
    assert actions(actor=str(uuid4())) == []
    assert actions(request_id="request-1") == ["campaigns.insert"]
    assert actions(subject=made.json()["id"]) == ["campaigns.insert"]
    assert actions(action="organizations.insert") == ["organizations.insert"]
    assert actions(theirs) == ["organizations.insert"], "their own"
    [entry] = client.get("/audit", params={"request_id": "request-2"}, headers=mine).json()["items"]
    assert entry["detail"]["name"] == [None, "Campaign 2"]
    assert entry["actor"] == str(ANN)
    assert not entry["forgotten"]

    first = client.get("/audit", params={"limit": 3}, headers=mine).json()
    rest = client.get("/audit", params={"limit": 3, "cursor": first["next_cursor"]}, headers=mine).json()
    assert [entry["position"] for entry in first["items"] + rest["items"]] == [4, 3, 2, 1]
    assert rest["next_cursor"] is None
    assert client.get("/audit/verification", headers=mine).json() == {
        "holds": True,
        "entries": 4,
        "first_broken": None,
    }


@pytest.mark.parametrize("role", [Role.MEMBER, Role.VIEWER])
def test_only_who_may_reads_the_log_exports_and_erases(
    client: httpx.Client, organization: Callable[..., Tenant], sign: Callable[..., Headers], role: Role
) -> None:
    headers = sign(organization(), role)
    person = {"person": {"email": "lea@mail.example"}}
    answers = [
        client.get("/audit", headers=headers),
        client.get("/audit/verification", headers=headers),
        client.get("/privacy/requests", headers=headers),
        client.post("/privacy/exports", json={}, headers=headers),
        client.post("/privacy/erasures", json=person, headers=headers),
    ]
    assert [answer.status_code for answer in answers] == [403] * 5


def test_an_organization_is_erased_by_an_owner_who_spells_its_name(
    client: httpx.Client, organization: Callable[..., Tenant], sign: Callable[..., Headers]
) -> None:
    acme = organization(name="Acme")

    def ask(role: Role, name: str) -> int:
        return client.post(
            "/privacy/erasures", json={"organization": name}, headers=sign(acme, role)
        ).status_code

    assert ask(Role.ADMIN, "Acme") == 403
    assert ask(Role.OWNER, "acme") == 422
    assert ask(Role.OWNER, "Acme") == 202


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"person": {}},
        {"person": {"email": "lea@mail.example", "lead_id": str(uuid4())}},
        {"person": {"email": "lea@mail.example", "also": ["Lea"]}},
        {"person": {"email": "lea@mail.example"}, "organization": "Acme"},
    ],
)
def test_who_is_meant_must_be_clear(
    client: httpx.Client, organization: Callable[..., Tenant], sign: Callable[..., Headers], body: object
) -> None:
    answer = client.post("/privacy/erasures", json=body, headers=sign(organization(name="Acme")))
    assert answer.status_code == 422, answer.text


def test_what_another_organization_asked_for_does_not_exist(
    client: httpx.Client, organization: Callable[..., Tenant], sign: Callable[..., Headers]
) -> None:
    made = client.post("/privacy/exports", json={}, headers=sign(organization(name="Acme")))
    request_id = made.json()["id"]
    theirs = sign(organization(name="Globex"))
    for path in (f"/privacy/requests/{request_id}", f"/privacy/exports/{request_id}/archive"):
        assert client.get(path, headers=theirs).status_code == 404
    assert client.get("/privacy/requests", headers=theirs).json()["items"] == []
