"""What holds a tenant back."""

from models.organization import Tenant
from ops.lanes import TenantLine


def state_of(line: TenantLine, tenant: Tenant | None) -> str:
    """Return what holds a tenant back, in a word or two; nothing when nothing does."""
    if tenant is not None and tenant.status != "active":
        return tenant.status
    if tenant is not None and tenant.terms.paused:
        return "paused"
    if tenant is not None and tenant.terms.paused_kinds:
        return "kinds paused"
    return "rate limited" if line.limited else ""
