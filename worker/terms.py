"""Change what an organization may use: in Postgres, then at once in the queue, on the backlog it has."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from sqlalchemy.orm import Session

from config.plans import Plan, terms_of
from models.organization import Organization, OrganizationStatus
from models.session import Database, tenant_session
from models.stop import pull_brake, release_brake
from worker.publish import BrokerAwayError, Publisher

LOCKED = {"key_share": True}
"""Other changes wait; jobs and rows that refer to the organization do not."""

Change = Callable[[Organization], None]


class OrganizationNotFoundError(LookupError):
    """There is no such organization; carries its id."""

    def __init__(self, organization_id: UUID) -> None:
        super().__init__(f"no organization {organization_id}")
        self.organization_id = organization_id


@dataclass(frozen=True, slots=True)
class Changed:
    """An organization after a change."""

    organization_id: UUID
    name: str
    status: str
    plan: str
    overrides: Mapping[str, Any]
    reached_queue: bool
    """False: Redis is away, and the relay brings the change with the next rebuild."""


def change_organization(
    database: Database, publisher: Publisher, organization_id: UUID, change: Change, *, actor: str
) -> Changed:
    """Record *change* in the name of *actor*, and let every lane know.

    Raises:
        OrganizationNotFoundError: There is none.
        ValidationError: The organization's terms would make no sense; nothing was changed.
    """
    _stop_first(database, publisher, organization_id, change)
    try:
        with tenant_session(database, organization_id, actor=actor) as session:
            organization = _lock(session, organization_id)
            change(organization)
            release_brake(session)
            terms_of(organization.plan, organization.plan_overrides)
    finally:  # the queue gets what is recorded, also where nothing could be
        reached = tell_queue(database, publisher, organization_id)
    return Changed(
        organization_id,
        organization.name,
        organization.status,
        organization.plan,
        organization.plan_overrides,
        reached,
    )


def _stop_first(database: Database, publisher: Publisher, organization_id: UUID, change: Change) -> None:
    """Stop what runs and hold what waits when *change* will make the organization inactive.

    Its transactions would otherwise keep us from recording that, for as long as they last.
    """
    with tenant_session(database, organization_id) as session:
        organization = _find(session, organization_id)
        session.expunge(organization)
    was, terms = organization.status, terms_in_force(organization)
    change(organization)
    if was != OrganizationStatus.ACTIVE or organization.status == OrganizationStatus.ACTIVE:
        return
    pull_brake(database, organization_id)
    publisher.announce(organization_id)
    with suppress(BrokerAwayError):
        publisher.entitle(organization_id, replace(terms, paused=True))


def tell_queue(database: Database, publisher: Publisher, organization_id: UUID) -> bool:
    """Bring the recorded terms to every lane; answer whether Redis took them.

    The row stays locked meanwhile: of two changes at once, the later one's terms are those that stay.
    """
    publisher.announce(organization_id)
    with tenant_session(database, organization_id) as session:
        organization = _lock(session, organization_id)
        try:
            publisher.entitle(organization_id, terms_in_force(organization))
        except BrokerAwayError:
            return False
    return True


def terms_in_force(organization: Organization) -> Plan:
    """Return what an organization may use of the queue now: while it is not active, its backlog stays put."""
    terms = terms_of(organization.plan, organization.plan_overrides)
    active = organization.status == OrganizationStatus.ACTIVE
    return terms if active else replace(terms, paused=True)


def put_on_plan(plan: str) -> Change:
    """Return the change to another plan; overrides stay."""

    def change(organization: Organization) -> None:
        organization.plan = plan

    return change


def set_status(status: OrganizationStatus) -> Change:
    """Return the change to another status."""

    def change(organization: Organization) -> None:
        organization.status = status

    return change


def override(values: Mapping[str, Any], *, without: frozenset[str] = frozenset()) -> Change:
    """Return the change that drops the overrides named in *without*, then sets *values*."""

    def change(organization: Organization) -> None:
        kept = {name: value for name, value in organization.plan_overrides.items() if name not in without}
        organization.plan_overrides = kept | dict(values)

    return change


def set_pause(kind: str | None, *, paused: bool) -> Change:
    """Return the change that pauses or resumes all jobs of an organization, or those of one kind."""

    def change(organization: Organization) -> None:
        overrides = dict(organization.plan_overrides)
        kinds = set(overrides.pop("paused_kinds", ()))
        everything = overrides.pop("paused", False)
        if kind is None:
            everything = paused
        else:
            kinds = kinds | {kind} if paused else kinds - {kind}
        pause: dict[str, Any] = {"paused": True} if everything else {}
        organization.plan_overrides = overrides | pause | ({"paused_kinds": sorted(kinds)} if kinds else {})

    return change


def _lock(session: Session, organization_id: UUID) -> Organization:
    return _find(session, organization_id, with_for_update=LOCKED)


def _find(session: Session, organization_id: UUID, **options: Any) -> Organization:
    organization = session.get(Organization, organization_id, **options)
    if organization is None:
        raise OrganizationNotFoundError(organization_id)
    return organization
