"""All platforms through submit, queue and a real worker process."""

from collections import Counter
from collections.abc import Callable

import pytest
from sqlalchemy import select

from config.settings import Settings
from models.job import Job
from models.organization import Tenant
from models.session import Database, tenant_session
from models.social import PlatformName, PostState
from tasks.catalog import PUBLISH_POST
from tests.integration.families.place import Place
from tests.integration.families.stand_in import StandIn
from tests.support import outcome
from tests.support.service import Services
from tests.support.wait import wait_until
from worker.context import Completion
from worker.publish import Publisher
from worker.submit import Submission, submit

SHORT_LEASE = {"GENIUS_LEASE_TIME": "5", "GENIUS_RELAY_INTERVAL": "0.5"}
LIMITED = ("bluesky", "mastodon", "x")
"""Platforms whose limits end within seconds: Meta counts in minutes and LinkedIn in days."""
FAULTS = ("drop_after", "server_error_after")


@pytest.fixture
def publisher(settings: Settings) -> Publisher:
    return Publisher(settings)


def not_here(*_: object, **__: object) -> Completion:
    """Stand for running a body in this process: a worker does."""
    raise AssertionError


def test_posts_to_every_platform_go_out_once_through_limits_and_lost_answers(
    database: Database,
    organization: Callable[..., Tenant],
    services: Services,
    publisher: Publisher,
    stand_in: StandIn,
) -> None:
    tenant = organization(plan="enterprise")
    places = [Place(database, tenant, stand_in, not_here, name.value) for name in PlatformName]
    for place in places:
        if place.platform in LIMITED:
            place.plant("rate_limit", times=3, seconds=0.1)
        for fault in FAULTS:
            place.plant(fault)
    told = {"GENIUS_STAND_IN_URL": stand_in.url, "GENIUS_PUBLIC_URL": "https://media.example"}
    services.worker(environment=SHORT_LEASE | told, concurrency=4)
    services.beat(SHORT_LEASE)
    work = [Submission(PUBLISH_POST, place.payload(f"post {n}")) for place in places for n in range(2)]
    submit(database, tenant, work, publisher=publisher)
    wait_until(lambda: outcome.all_ended(database, [tenant]), timeout=120)
    assert outcome.states(database, tenant) == Counter(succeeded=len(work))
    for place in places:
        assert sorted(place.texts) == ["post 0", "post 1"], place.platform
    with tenant_session(database, tenant.organization_id) as session:
        jobs = session.scalars(select(Job)).all()
    assert all(job.max_attempts - job.attempt >= 7 for job in jobs), "asked-for waits use up no attempt"
    assert {places[0].post(job.id).state for job in jobs if job.kind == PUBLISH_POST.name} == {
        PostState.PUBLISHED
    }
