"""Organizations by id, as they stood a moment ago."""

import time
from collections.abc import Iterable, Mapping
from typing import Final
from uuid import UUID

from models.organization import Tenant, load_tenant
from models.session import Database

FRESH_S: Final = 10.0
NAMED_AT_ONCE: Final = 500
"""Organizations looked up in one go to learn their names."""


class Directory:
    """Looks organizations up one by one, each under its own binding, and remembers them."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._known: dict[UUID, tuple[float, Tenant | None]] = {}

    def find(self, organization_id: UUID) -> Tenant | None:
        """Return an organization as it stands now."""
        tenant = load_tenant(self._database, organization_id)
        self._known[organization_id] = (time.monotonic(), tenant)
        return tenant

    def find_each(self, names: Iterable[str]) -> Mapping[str, Tenant]:
        """Return those of *names* that are organizations, none older than some seconds."""
        found = {name: self._recent(identity) for name in names if (identity := identity_of(name))}
        return {name: tenant for name, tenant in found.items() if tenant is not None}

    def learn(self, names: Iterable[str]) -> None:
        """Look up some of *names* that nobody has asked for yet, so that they can be searched by name."""
        unknown = (identity for name in names if (identity := identity_of(name)) not in self._known)
        for identity, _ in zip(filter(None, unknown), range(NAMED_AT_ONCE), strict=False):
            self.find(identity)

    def name(self, name: str) -> str | None:
        """Return what people call an organization, where that is known without asking."""
        identity = identity_of(name)
        _, tenant = self._known.get(identity, (0.0, None)) if identity else (0.0, None)
        return None if tenant is None else tenant.name

    def _recent(self, organization_id: UUID) -> Tenant | None:
        at, tenant = self._known.get(organization_id, (0.0, None))
        return tenant if time.monotonic() - at < FRESH_S else self.find(organization_id)


def identity_of(name: str) -> UUID | None:
    """Return the id that *name* spells, if it spells one."""
    try:
        return UUID(name)
    except ValueError:
        return None
