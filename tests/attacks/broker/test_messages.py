"""Whoever writes into the broker makes no job of another tenant run, change hands or run twice."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any
from unittest.mock import ANY

import psycopg
import pytest
from celery.exceptions import Reject
from sqlalchemy import text
from uuid_utils.compat import uuid7

from config.settings import Settings
from models.organization import Tenant
from models.session import Database, tenant_session
from ops.stack import PostgresUrls
from tests.support.kinds import ASK_REMOTE, LEAVE_CAMPAIGN, Leave, leave_campaign
from worker.execution import execute
from worker.lease import get_lease_keeper
from worker.pointer import LIFETIME_S, Pointer, make_pointer, read_pointer
from worker.publish import Publisher, get_publisher
from worker.submit import Submission, submit


@dataclass(frozen=True)
class Stage:
    """A process that works off messages, an attacker's tenant and another one with a waiting job."""

    database: Database
    urls: PostgresUrls
    secret: bytes
    mine: Tenant
    theirs: Tenant
    pointer: Pointer
    """What the message of the other tenant's waiting job says."""

    def deliver(
        self,
        pointer: Pointer,
        *,
        secret: bytes = b"a guess",
        kind: Any = LEAVE_CAMPAIGN,
        payer: Tenant | None = None,
    ) -> None:
        tenant = payer.organization_id if payer else pointer.organization_id
        with suppress(Reject):
            execute(kind, leave_campaign, pointer.sign(secret), tenant=str(tenant))

    def left(self, tenant: Tenant) -> int:
        """Return how often a job of the tenant has left its campaign."""
        with tenant_session(self.database, tenant.organization_id) as session:
            return int(session.scalars(text("SELECT count(*) FROM campaigns")).one())

    def has_touched_theirs(self) -> bool:
        """Tell whether the other tenant's job was begun or changed."""
        with tenant_session(self.database, self.theirs.organization_id) as session:
            return tuple(session.execute(text("SELECT state, attempt FROM jobs")).one()) != ("queued", 0)


@pytest.fixture
def stage(
    settings: Settings,
    database: Database,
    database_urls: PostgresUrls,
    organization: Callable[..., Tenant],
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Stage]:
    for module in ("worker.execution", "worker.lease"):
        monkeypatch.setattr(f"{module}.get_database", lambda: database)
    get_publisher.cache_clear()
    get_lease_keeper.cache_clear()
    mine, theirs = organization(name="mine"), organization(name="theirs")
    wanted = Submission(LEAVE_CAMPAIGN, Leave(name="theirs"))
    [job] = submit(database, theirs, [wanted], publisher=Publisher(settings))
    pointer = make_pointer(
        theirs.organization_id, job.id, kind=LEAVE_CAMPAIGN.name, attempts_made=0, due_at=None
    )
    secret = settings.pointer_secret.get_secret_value().encode()
    yield Stage(database, database_urls, secret, mine, theirs, pointer)
    get_publisher.cache_clear()
    get_lease_keeper.cache_clear()


@contextmanager
def signatures_unread(_: Stage) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("worker.pointer.hmac.compare_digest", lambda *_: True)
        yield


@contextmanager
def anybody_pays(_: Stage) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        careless = partial(read_pointer, tenant=ANY)
        patch.setattr("worker.execution.read_pointer", lambda *given, **_: careless(*given))
        yield


@contextmanager
def messages_never_old(_: Stage) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Pointer, "expired", False)
        yield


@contextmanager
def claims_without(stage: Stage, *parts: str) -> Iterator[None]:
    """Leave conditions out of the function that claims jobs."""
    assert stage.urls.superuser_url is not None
    with psycopg.connect(stage.urls.superuser_url) as connection:
        row = connection.execute(
            "SELECT pg_get_functiondef(oid) FROM pg_proc WHERE proname = 'claim_jobs'"
        ).fetchone()
        assert row is not None
        for part in parts:
            assert part in row[0], part
            row = (row[0].replace(part, ""),)
        connection.execute(row[0].encode())
        for table in ("jobs", "organizations", "job_leases", "job_events", "outbox"):
            connection.execute(f"ALTER TABLE {table} DISABLE ROW LEVEL SECURITY".encode())
    with signatures_unread(stage):
        yield


def any_organization(stage: Stage) -> AbstractContextManager[None]:
    return claims_without(stage, "row.organization_id = tenant AND ")


def any_attempt(stage: Stage) -> AbstractContextManager[None]:
    fence = """ AND row.attempt = item.made AND row.state IN ('queued', 'scheduled')
              AND row.attempt < row.max_attempts"""
    return claims_without(stage, fence)


def a_pointer_signed_with_a_guess(stage: Stage) -> bool:
    stage.deliver(stage.pointer)
    return stage.left(stage.theirs) == 1


def a_pointer_signed_with_the_secret_of_seals(stage: Stage) -> bool:
    stage.deliver(stage.pointer, secret=stage.database.sealer.secret)
    return stage.left(stage.theirs) == 1


def a_signature_of_another_job_of_its_own(stage: Stage) -> bool:
    """A signature that is good for a pointer of the attacker's, under one that names the other's job."""
    good = stage.pointer._replace(organization_id=stage.mine.organization_id, job_id=uuid7())
    arguments = (*stage.pointer.sign(stage.secret)[:4], good.sign(stage.secret)[4])
    with suppress(Reject):
        execute(LEAVE_CAMPAIGN, leave_campaign, arguments, tenant=arguments[0])
    return stage.left(stage.theirs) == 1


def a_message_of_another_kind(stage: Stage) -> bool:
    stage.deliver(stage.pointer, secret=stage.secret, kind=ASK_REMOTE)
    return stage.has_touched_theirs()


def the_others_job_under_its_own_name(stage: Stage) -> bool:
    """The job is claimed, or its row touched, for an organization that it does not belong to."""
    confused = stage.pointer._replace(organization_id=stage.mine.organization_id)
    stage.deliver(confused, secret=stage.secret)
    return stage.has_touched_theirs()


def a_message_older_than_it_may_be(stage: Stage) -> bool:
    old = stage.pointer._replace(expires_at=stage.pointer.expires_at - LIFETIME_S - 60)
    stage.deliver(old, secret=stage.secret)
    return stage.left(stage.theirs) == 1


def a_message_played_again(stage: Stage) -> bool:
    for _ in range(2):
        stage.deliver(stage.pointer, secret=stage.secret)
    return stage.left(stage.theirs) > 1


def a_message_of_an_attempt_to_come(stage: Stage) -> bool:
    stage.deliver(stage.pointer._replace(attempts_made=3), secret=stage.secret)
    return stage.left(stage.theirs) == 1


def a_message_under_another_tenants_header(stage: Stage) -> bool:
    """Its job is the attacker's in all but who pays for the attempt."""
    stage.deliver(stage.pointer, secret=stage.secret, payer=stage.mine)
    return stage.left(stage.theirs) == 1


def a_pointer_signed_with_a_secret_that_was_replaced(stage: Stage) -> bool:
    before = b"pointer-secret-of-last-year"
    stage.deliver(stage.pointer, secret=before)
    return stage.left(stage.theirs) == 1


Break = Callable[[Stage], AbstractContextManager[None]]
ATTEMPTS: list[tuple[Callable[[Stage], bool], Break]] = [
    (a_pointer_signed_with_a_guess, signatures_unread),
    (a_pointer_signed_with_the_secret_of_seals, signatures_unread),
    (a_signature_of_another_job_of_its_own, signatures_unread),
    (a_pointer_signed_with_a_secret_that_was_replaced, signatures_unread),
    (a_message_under_another_tenants_header, anybody_pays),
    (a_message_of_another_kind, signatures_unread),
    (the_others_job_under_its_own_name, any_organization),
    (a_message_older_than_it_may_be, messages_never_old),
    (a_message_played_again, any_attempt),
    (a_message_of_an_attempt_to_come, any_attempt),
]


@pytest.mark.parametrize(("attempt", "broken"), ATTEMPTS)
def test_a_message_fails_with_us_and_then_works_on_a_broken_copy(
    stage: Stage, attempt: Callable[[Stage], bool], broken: Break
) -> None:
    assert not attempt(stage)
    with tenant_session(stage.database, stage.theirs.organization_id) as session:
        session.execute(text("DELETE FROM campaigns"))
    with broken(stage):
        assert attempt(stage), "the attack is no attack"
