"""The intake, which also takes the kind that is measured: ``uvicorn support.life_intake:app``."""

from dataclasses import replace
from types import MappingProxyType

from support.life_kinds import UPDATE_ONE

from models.user import Permission
from tasks import catalog

# Before the intake is imported: it builds the model of its request bodies from the catalogue.
OFFERED = replace(UPDATE_ONE, permission=Permission.MANAGE_JOBS)
catalog.TENANT_CATALOG = MappingProxyType({**catalog.TENANT_CATALOG, OFFERED.name: OFFERED})

from intake.app import app  # noqa: E402 - see above

__all__ = ["app"]
