"""Every route with every role, against a table that a person has read: permissions.txt."""

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import jwt
import pytest

from intake.auth import ALGORITHM
from models.user import ROLE_PERMISSIONS, Role
from tests.attacks.http.careless import behind
from tests.support.specimen import Document, Sample
from tests.support.two_tenants import World

TABLE = Path(__file__).with_name("permissions.txt")
PUBLIC, ANYBODY = "public", "anybody"
NO_ROLE: dict[str, object] = {"role": None, "permissions": []}


def expected() -> dict[str, str]:
    """Return what each route needs, as the table says."""
    lines = (line.rsplit(" ", 1) for line in TABLE.read_text().splitlines() if line)
    return {route.strip(): needed for route, needed in lines}


def samples(world: World) -> Iterator[tuple[str, Sample]]:
    document = Document(world.app.openapi())
    for sample in document.samples(lambda name: (world.mine.made.get(name) or [str(uuid4())])[0]):
        yield f"{sample.method} {sample.route}", sample


def as_(world: World, **changes: object) -> dict[str, str]:
    """Return the headers of a caller whose token says *changes*."""
    token = world.mine.headers()["Authorization"].partition(" ")[2]
    claims = jwt.decode(token, options={"verify_signature": False}) | changes
    secret = world.settings.jwt_secret.get_secret_value()
    return {"Authorization": f"Bearer {jwt.encode(claims, secret, algorithm=ALGORITHM)}"}


def needed(world: World, sample: Sample) -> str:
    """Return what a route asks of its caller: shown by how it treats nobody, and one who may do nothing."""
    if sample.send(world.client, {}).status_code != 401:
        return PUBLIC
    shown = sample.send(world.client, as_(world, **NO_ROLE))
    if shown.status_code != 403:
        return ANYBODY
    return str(shown.json().get("permission", ANYBODY))


@pytest.fixture(scope="module")
def found(world: World) -> dict[str, str]:
    return {route: needed(world, sample) for route, sample in samples(world)}


def test_every_route_asks_for_the_permission_that_the_table_says(found: dict[str, str]) -> None:
    """A new route goes into permissions.txt: somebody has to have thought of who may."""
    assert found == expected()


@pytest.mark.parametrize("role", [Role.MEMBER, Role.VIEWER])
def test_a_role_gets_as_far_as_its_permissions_go(world: World, found: dict[str, str], role: Role) -> None:
    """Owners and administrators have every permission of the table's, which the fuzz goes by."""
    headers, wrong = as_(world, role=role.value, permissions=[]), []
    for route, sample in samples(world):
        wanted = found[route]
        if wanted not in {PUBLIC, ANYBODY} and sample.method != "DELETE":
            shown = sample.send(world.client, headers)
            is_refused = shown.status_code == 403 and "permission" in shown.json()
            if is_refused == (wanted in ROLE_PERMISSIONS[role]):
                wrong.append(f"{route} as {role}: {shown.status_code} {shown.text}")
    assert wrong == []


@pytest.mark.parametrize(
    "claims",
    [
        {"role": "superuser"},
        {"role": "OWNER"},
        {"role": "owner\x00"},
        {"role": "viewer", "is_admin": True, "admin": True, "scope": "manage_users"},
        {"role": None, "permissions": ["*"]},
        {"role": None, "permissions": ["manage_*", "all_features", "MANAGE_USERS"]},
    ],
    ids=str,
)
def test_no_claim_beside_the_known_ones_permits_anything(world: World, claims: dict[str, object]) -> None:
    headers = as_(world, **({"permissions": []} | claims))

    def attempt() -> bool:
        body = {"email": f"{uuid4().hex}@example.org", "role": "owner"}
        return world.client.post("/api/v1/users", json=body, headers=headers).status_code != 403

    async def obliging(app: object, scope: dict[str, object], receive: object, send: object) -> None:
        owner = [(b"authorization", world.mine.headers()["Authorization"].encode())]
        await app(scope | {"headers": [*_without_token(scope), *owner]}, receive, send)  # type: ignore[operator]

    with behind(obliging):  # type: ignore[arg-type]
        assert attempt()
    assert not attempt()


def _without_token(scope: dict[str, object]) -> list[tuple[bytes, bytes]]:
    headers: list[tuple[bytes, bytes]] = list(scope["headers"])  # type: ignore[call-overload]
    return [each for each in headers if each[0] != b"authorization"]


def test_nobody_makes_an_owner_of_himself(world: World) -> None:
    """An administrator may manage users, and is no owner."""
    headers = as_(world, role="member", permissions=[])
    user = world.mine.made["users"][0]
    shown = world.client.patch(f"/api/v1/users/{user}", json={"role": "owner"}, headers=headers)
    assert shown.status_code == 403
