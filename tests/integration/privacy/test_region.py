"""An organization's region decides where it is served and where its jobs run: at three doors."""

from collections.abc import Callable, Iterator
from uuid import UUID

import httpx
import pytest
from sqlalchemy import select
from sqlalchemy.exc import DBAPIError
from uuid_utils.compat import uuid7

from config.settings import Settings, get_settings
from models.job import Job, JobEvent, JobState
from models.organization import Organization, Tenant, load_tenant
from models.session import Database, RelayDatabase, tenant_session
from ops.token import mint_token
from tasks.catalog import ACCOUNT_QUOTA
from tasks.payloads import AccountQuota
from tests.integration.intake.conftest import serving
from worker.context import Completion
from worker.ending import Ending
from worker.execution import execute
from worker.pointer import make_pointer
from worker.publish import Publisher
from worker.refusal import WrongRegionError
from worker.region import region_of
from worker.relay import publish_outbox, rebuild_if_lost
from worker.submit import Submission, submit


@pytest.fixture
def abroad(database: Database) -> Tenant:
    """An organization of another region, whose rows lie here by mistake."""
    organization_id = uuid7()
    with tenant_session(database, organization_id) as session:
        session.add(
            Organization(organization_id=organization_id, name="Acme", plan="professional", region="eu-west")
        )
    tenant = load_tenant(database, organization_id)
    assert tenant is not None
    assert tenant.region == "eu-west"
    return tenant


@pytest.fixture
def in_region(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Settings]]:
    """Make this process one of a region."""

    def become(region: str) -> Settings:
        monkeypatch.setenv("GENIUS_REGION", region)
        get_settings.cache_clear()
        region_of.cache_clear()
        return get_settings()

    yield become
    get_settings.cache_clear()
    region_of.cache_clear()


def recorded(database: Database, tenant: Tenant) -> UUID:
    """Record a job as its own region would."""
    [job] = submit(database, tenant, [Submission(ACCOUNT_QUOTA, AccountQuota())], publisher=Away())
    return job.id


class Away(Publisher):
    """Publishes nothing: the job stays in the outbox."""

    def __init__(self) -> None:
        super().__init__(get_settings().model_copy(update={"redis_url": "redis://127.0.0.1:1/0"}))


def test_the_intake_names_the_right_regions_address(
    abroad: Tenant, organization: Callable[..., Tenant], settings: Settings
) -> None:
    here = organization()
    urls = {"region_urls": {"eu-west": "https://eu.example"}}
    with serving(settings.model_copy(update=urls)) as url, httpx.Client(base_url=url) as client:
        refused = client.get("/api/v1/leads", headers=bearer(settings, abroad))
        served = client.get("/api/v1/leads", headers=bearer(settings, here))
    assert refused.status_code == 421
    problem = refused.json()
    assert (problem["region"], problem["url"]) == ("eu-west", "https://eu.example")
    assert "https://eu.example" in problem["detail"]
    assert served.status_code == 200


def bearer(settings: Settings, tenant: Tenant) -> dict[str, str]:
    return {"Authorization": f"Bearer {mint_token(settings, tenant)}"}


def test_jobs_of_another_region_are_neither_recorded_nor_published(
    abroad: Tenant,
    database: Database,
    relay_database: RelayDatabase,
    settings: Settings,
    in_region: Callable[[str], Settings],
) -> None:
    with pytest.raises(WrongRegionError, match="eu-west"):
        submit(database, abroad, [Submission(ACCOUNT_QUOTA, AccountQuota())])

    in_region("eu-west")
    recorded(database, abroad)
    in_region("default")
    publisher = Publisher(settings)
    assert rebuild_if_lost(relay_database, publisher) == 0
    assert publish_outbox(relay_database, publisher) == 0
    in_region("eu-west")
    with tenant_session(database, abroad.organization_id) as session:
        assert session.scalars(select(Job.state)).all() == [JobState.QUEUED]


def test_a_forged_or_misrouted_message_runs_nothing_in_another_region(
    abroad: Tenant, database: Database, settings: Settings, in_region: Callable[[str], Settings]
) -> None:
    ran = []

    def body(*_: object) -> Completion:
        ran.append(1)
        return Completion()

    in_region("eu-west")
    job_id = recorded(database, abroad)
    secret = settings.pointer_secret.get_secret_value().encode()
    pointer = make_pointer(
        abroad.organization_id, job_id, kind=ACCOUNT_QUOTA.name, attempts_made=0, due_at=None
    )
    message = pointer.sign(secret)

    in_region("default")
    assert execute(ACCOUNT_QUOTA, body, message, tenant=message[0]) is Ending.FORGED
    with tenant_session(database, abroad.organization_id) as session:
        assert session.scalars(select(Job.state)).all() == [JobState.QUEUED]
        assert JobState.RUNNING not in session.scalars(select(JobEvent.state)).all()
    assert ran == []

    in_region("eu-west")
    assert execute(ACCOUNT_QUOTA, body, message, tenant=message[0]) is Ending.SUCCEEDED
    assert ran == [1]


def test_an_organization_stays_in_its_region(abroad: Tenant, database: Database) -> None:
    with (
        pytest.raises(DBAPIError, match="stays in its region"),
        tenant_session(database, abroad.organization_id) as session,
    ):
        session.scalars(select(Organization)).one().region = "default"
