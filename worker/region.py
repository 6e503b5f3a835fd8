"""An organization's jobs are published, and run, by processes of its own region and by no other."""

from functools import lru_cache
from uuid import UUID

from sqlalchemy import select

from config.settings import get_settings
from models.organization import Organization
from models.session import Database, tenant_session
from worker.pointer import ForgedPointerError

REMEMBERED = 100_000
"""Organizations whose region a process knows: it never changes, so it is asked for once."""


class ElsewhereError(ForgedPointerError):
    """A message that was put where it does not belong; its own region offers the job again."""

    def __init__(self, organization_id: UUID, region: str) -> None:
        super().__init__(f"organization {organization_id} is of region {region}, this process is not")
        self.organization_id = organization_id
        self.region = region


def refuse_elsewhere(database: Database, organization_id: UUID) -> None:
    """Refuse a message of an organization of another region.

    Raises:
        ElsewhereError: It is; nothing of it was touched.
    """
    region = region_of(database, organization_id)
    if region is not None and region != get_settings().region:
        region_of.cache_clear()
        raise ElsewhereError(organization_id, region)


@lru_cache(maxsize=REMEMBERED)
def region_of(database: Database, organization_id: UUID) -> str | None:
    """Return where an organization is at home; None if there is no such organization."""
    with tenant_session(database, organization_id) as session:
        own = select(Organization.region).where(Organization.organization_id == organization_id)
        return session.scalar(own.execution_options(include_deleted=True))
