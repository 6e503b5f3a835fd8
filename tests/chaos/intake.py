"""The intake, which also takes the kinds of tests: ``uvicorn tests.chaos.intake:app``."""

from dataclasses import replace
from types import MappingProxyType

from models.user import Permission
from tasks import catalog
from tests.support.kinds import ASK_REMOTE, LEAVE_BRIEFLY, LEAVE_CAMPAIGN

OFFERED = tuple(
    replace(kind, permission=Permission.MANAGE_JOBS) for kind in (LEAVE_CAMPAIGN, LEAVE_BRIEFLY, ASK_REMOTE)
)

# Before the intake is imported: it builds the model of its request bodies from the catalogue.
catalog.TENANT_CATALOG = MappingProxyType({**catalog.TENANT_CATALOG, **{kind.name: kind for kind in OFFERED}})

from intake.app import app  # noqa: E402 - see above

__all__ = ["app"]
