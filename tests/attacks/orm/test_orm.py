"""The ORM's own ways across: open when both lines are gone, closed by either of them."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy import delete, func, insert, select, text, update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import aliased, selectinload

from models import session as door
from models.campaign import Campaign
from models.lead import Lead
from models.session import TenantSession, tenant_session
from models.social import SocialPost
from tests.attacks.ground import Ground, got_across
from tests.support.attack import Site

BARE = "no policies"


@contextmanager
def narrowing(*, removed: bool) -> Iterator[None]:
    """Let sessions name the tenant in their statements, or not."""
    with pytest.MonkeyPatch.context() as patch:
        if removed:
            patch.setattr(door, "_narrowing", lambda _: door._LIVE)  # noqa: SLF001 (the second line is private)
        yield


def theirs(site: Site, table: str) -> object:
    return site.rows(table, site.theirs)[0]["id"]


def the_identity_map(session: TenantSession, site: Site) -> object:
    found = session.get(Lead, (site.theirs, theirs(site, "leads")))
    return found and found.organization_id


def a_select(session: TenantSession, site: Site) -> object:
    return session.scalars(select(Lead.organization_id)).all()


def a_select_of_the_other(session: TenantSession, site: Site) -> object:
    return session.scalars(select(Lead.company).where(Lead.organization_id == site.theirs)).all()


def an_aliased_join(session: TenantSession, site: Site) -> object:
    other = aliased(Lead)
    return session.execute(
        select(other.organization_id).select_from(Lead).join(other, other.id == Lead.id)
    ).all()


def a_scalar_subquery(session: TenantSession, site: Site) -> object:
    return session.scalar(select(select(func.string_agg(Lead.company, ",")).scalar_subquery()))


def a_related_object(session: TenantSession, site: Site) -> object:
    posts = session.scalars(select(SocialPost).options(selectinload(SocialPost.account)))
    return [post.account.organization_id for post in posts]


def an_update_that_returns(session: TenantSession, site: Site) -> object:
    return session.execute(update(Lead).values(source="x").returning(Lead.organization_id)).all()


def a_delete_that_returns(session: TenantSession, site: Site) -> object:
    statement = delete(Campaign).where(Campaign.name == "planted").returning(Campaign.organization_id)
    session.connection().execute(
        insert(Campaign.__table__), {"organization_id": site.mine, "name": "planted"}
    )
    session.execute(statement)
    return session.execute(select(Campaign.organization_id)).all()


def an_object_merged_by_its_key(session: TenantSession, site: Site) -> object:
    merged = session.merge(Lead(organization_id=site.theirs, id=theirs(site, "leads"), source="x"))
    session.flush()
    return merged.organization_id


def objects_added_in_bulk(session: TenantSession, site: Site) -> object:
    rows = [{"organization_id": site.theirs, "name": "planted"}]
    return session.scalars(insert(Campaign).returning(Campaign.organization_id), rows).all()


def a_core_select(session: TenantSession, site: Site) -> object:
    return session.connection().execute(select(Lead.__table__.c.organization_id)).all()


def a_text(session: TenantSession, site: Site) -> object:
    return session.execute(text("SELECT company FROM leads")).all()


def a_core_update(session: TenantSession, site: Site) -> object:
    table = Lead.__table__
    return session.execute(update(table).values(source="x").returning(table.c.organization_id)).all()  # type: ignore[arg-type]


Attempt = Callable[[TenantSession, Site], object]

NARROWED: list[Attempt] = [
    the_identity_map,
    a_select,
    a_select_of_the_other,
    an_aliased_join,
    a_scalar_subquery,
    a_related_object,
    an_update_that_returns,
    a_delete_that_returns,
]
"""What both lines stop."""

WALLED: list[Attempt] = [
    an_object_merged_by_its_key,
    objects_added_in_bulk,
    a_core_select,
    a_text,
    a_core_update,
]
"""What only the policies stop: SQLAlchemy's criteria do not reach these."""


def crosses(site: Site, attempt: Attempt, *, bare_session: bool) -> bool:
    with narrowing(removed=bare_session):
        try:
            with tenant_session(site.database, site.mine) as session:
                crossed = got_across(attempt(session, site), site)
                session.rollback()
        except DBAPIError:
            return False
    return crossed


@pytest.mark.parametrize("attempt", NARROWED + WALLED)
def test_the_orm_crosses_where_nothing_stops_it_and_not_with_us(ground: Ground, attempt: Attempt) -> None:
    assert crosses(ground.site(BARE), attempt, bare_session=True), "the attack is no attack"
    assert not crosses(ground.site(), attempt, bare_session=False)


@pytest.mark.parametrize("attempt", NARROWED + WALLED)
def test_the_policies_stop_it_alone(ground: Ground, attempt: Attempt) -> None:
    assert not crosses(ground.site(), attempt, bare_session=True)


@pytest.mark.parametrize("attempt", [attempt for attempt in NARROWED if attempt is not a_related_object])
def test_the_narrowing_stops_it_alone(ground: Ground, attempt: Attempt) -> None:
    assert not crosses(ground.site(BARE), attempt, bare_session=False)
