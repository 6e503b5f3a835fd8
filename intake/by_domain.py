"""Whose login page is this? A visitor who is nobody yet asks, and is told what a page would show."""

from uuid import UUID

from sqlalchemy import func, select

from config.plans import CUSTOM_DOMAIN
from intake.look import look_of
from intake.views.branding import BrandingView, PublicLookView
from models.organization import OrganizationStatus, Tenant, load_tenant
from models.session import Database, tenant_session
from tasks.branding import FEATURE

NOBODY = UUID(int=0)
"""Bound to whom `app.domain_holder` may be asked; it has no rows."""


def find_look(database: Database, domain: str, *, region: str) -> PublicLookView | None:
    """Return how the organization looks that proved *domain*, or None.

    Whatever the reason for None, as many statements are sent, and they read as little: where there is nothing
    to show, nobody's rows are looked for.
    """
    with tenant_session(database, NOBODY) as session:
        holder: UUID | None = session.scalar(select(func.app.domain_holder(domain)))
    found = load_tenant(database, holder or NOBODY)
    tenant = found if found is not None and _is_served(found, region) else None
    look = look_of(database, NOBODY if tenant is None else tenant.organization_id)
    return None if tenant is None else _public(tenant, look)


def _is_served(tenant: Tenant, region: str) -> bool:
    return (
        tenant.status == OrganizationStatus.ACTIVE
        and tenant.region == region
        and tenant.terms.offers(CUSTOM_DOMAIN)
    )


def _public(tenant: Tenant, look: BrandingView) -> PublicLookView:
    if not tenant.terms.offers(FEATURE):
        return PublicLookView(name=tenant.name, colour=None, accent=None, logo=None, logo_text=None)
    return PublicLookView(**look.model_dump() | {"name": look.name or tenant.name})
