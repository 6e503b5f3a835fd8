"""After a full run no token and no secret stands in a log, an error, an event, a Redis key or Flower.

Tables are searched too: what is kept of a credential there is encrypted or a hash.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from sqlalchemy import select

from config.settings import Settings
from models.organization import Tenant
from models.session import Database, tenant_session
from models.social import PlatformName, SocialAccount
from models.user import Role
from ops.stack import PostgresUrls
from ops.token import mint_token
from tasks.social_posting.account import held_tokens
from tests.integration.families.place import Place
from tests.integration.families.stand_in import StandIn, run_stand_in, vault_of_this_test
from tests.integration.privacy.search import in_files, in_redis, in_tables
from tests.support import outcome
from tests.support.flower import OPERATOR, USERS, Flower
from tests.support.service import Intake, Services
from tests.support.wait import wait_until
from worker.context import Completion

TOLD = "Nobody hides this"
PAGES = ("/tasks", "/api/tasks?limit=2000", "/api/workers?refresh=1", "/tenants", "/deadletters", "/broker")


@pytest.fixture
def tenant(organization: Callable[..., Tenant]) -> Tenant:
    return organization(plan="enterprise")


@pytest.fixture
def stand_in() -> Iterator[StandIn]:
    with run_stand_in() as stand_in:
        yield stand_in


@pytest.fixture
def flower(services: Services, settings: Settings, test_directory: Path) -> Iterator[Flower]:
    environment = {**services.environment, "GENIUS_FLOWER_USERS": USERS}
    flower = Flower(test_directory / "shown", environment)
    flower.start()
    yield flower
    flower.process.kill()


def not_here(*_: object, **__: object) -> Completion:
    """Stand for running a body in this process: a worker does."""
    raise AssertionError


def tokens(database: Database, tenant: Tenant) -> set[str]:
    """Decrypt what is kept of the tenant's accounts."""
    with tenant_session(database, tenant.organization_id) as session:
        held = [held_tokens(vault_of_this_test(), row) for row in session.scalars(select(SocialAccount))]
    return {token for each in held for token in (each.tokens.access, each.tokens.refresh) if token}


def secrets_of(settings: Settings) -> set[str]:
    values = settings.model_dump().values()
    return {value.get_secret_value() for value in values if hasattr(value, "get_secret_value") and value}


def test_after_a_full_run_no_token_and_no_secret_stands_anywhere(
    database: Database,
    tenant: Tenant,
    settings: Settings,
    services: Services,
    stand_in: StandIn,
    flower: Flower,
    database_urls: PostgresUrls,
) -> None:
    places = [Place(database, tenant, stand_in, not_here, name.value) for name in PlatformName]
    hidden = tokens(database, tenant) | secrets_of(settings)
    told = {"GENIUS_STAND_IN_URL": stand_in.url, "GENIUS_PUBLIC_URL": "https://media.example"}
    told |= {"GENIUS_LOG_LEVEL": "DEBUG", "GENIUS_RELAY_INTERVAL": "0.5"}
    services.worker(pool="threads", concurrency=4, environment=told, options=("-E",))
    services.beat(told)
    bearer = mint_token(settings, tenant, role=Role.OWNER)
    key = use(services.intake(told), bearer, stand_in, places)
    hidden |= {bearer, key}
    wait_until(lambda: outcome.all_ended(database, [tenant]), timeout=90)
    assert outcome.states(database, tenant)["succeeded"] >= len(places)
    hidden |= tokens(database, tenant)  # those that were refreshed meanwhile
    assert len(hidden) > 2 * len(places)

    with flower.client(OPERATOR) as client:
        wait_until(lambda: len(client.get("/api/tasks").json()) >= len(places), 60)
        pages = {path: client.get(path).text for path in PAGES}
    assert [path for path, page in pages.items() for secret in hidden if secret in page] == []
    assert database_urls.superuser_url is not None
    logs = services.started[0].log.parent
    assert in_tables(database_urls.superuser_url, [TOLD]), "the search would find it"
    assert in_files(logs, [str(tenant.organization_id)]), "the search would find it"
    assert in_redis(str(settings.redis_url), [str(tenant.organization_id)]), "the search would find it"
    assert in_tables(database_urls.superuser_url, list(hidden)) == []
    assert in_files(logs, list(hidden)) == []
    assert in_redis(str(settings.redis_url), list(hidden)) == []


def use(intake: Intake, bearer: str, stand_in: StandIn, places: list[Place]) -> str:
    """Post to every platform, one with an expired token, one that refuses; returns the key used too."""
    with httpx.Client(
        base_url=intake.url, headers={"Authorization": f"Bearer {bearer}"}, timeout=30
    ) as client:
        scopes = {"name": "run", "scopes": ["manage_social"]}
        made = client.post("/api/v1/api-keys", json=scopes)
        assert made.status_code == 201, made.text
        key: str = made.json()["key"]
        renewed, refused = places[:2]
        stand_in.change(renewed.platform, renewed.handle, expire_tokens=True)
        stand_in.change(refused.platform, refused.handle, status="takendown")
        for caller in (bearer, key):
            for place in places:
                payload = place.payload(f"{TOLD} {caller[:3]}").model_dump(mode="json")
                body = {"kind": "social.publish_post", "payload": payload}
                answer = client.post("/api/v1/jobs", json=body, headers={"Authorization": f"Bearer {caller}"})
                assert answer.status_code == 202, answer.text
        client.get("/api/v1/jobs", headers={"Authorization": "Bearer " + key[:-3]})
        client.get(f"/api/v1/jobs?token={bearer}")
    return key
