"""Which organizations a command is about: one, or all there are."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import select

from models.organization import Organization
from models.session import open_relay_database, relay_session
from ops.configuration import settings_in_force
from ops.error import OperatorError


class WhichOrganizationsError(OperatorError):
    """The command names no organization, or one and all of them."""

    def __init__(self) -> None:
        super().__init__("Say which: --org ID, or --all.")


def chosen_organizations(organization_id: UUID | None, *, everybody: bool) -> Sequence[UUID]:
    """Return the organization named, or every one, which the relay's role knows by id."""
    if (organization_id is None) != everybody:
        raise WhichOrganizationsError
    if organization_id is not None:
        return [organization_id]
    database = open_relay_database(settings_in_force(), pool_size=1)
    try:
        with relay_session(database) as session:
            return session.scalars(
                select(Organization.organization_id).order_by(Organization.organization_id)
            ).all()
    finally:
        database.engine.dispose()
