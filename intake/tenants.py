"""How each calling organization stands, read from the database and remembered for two seconds at most."""

from collections import OrderedDict
from collections.abc import Callable
from datetime import timedelta
from time import monotonic
from uuid import UUID

from starlette.concurrency import run_in_threadpool

from models.organization import Tenant

REMEMBERED = timedelta(seconds=2)
"""A suspension or a change of plan is in force within this time."""
MOST_REMEMBERED = 10_000


class Tenants:
    """Remembers tenants for a moment; an unknown organization is asked for each time.

    Used from the event loop only, so it needs no lock; two requests may load one tenant at once, harmlessly.
    """

    def __init__(
        self, load: Callable[[UUID], Tenant | None], *, clock: Callable[[], float] = monotonic
    ) -> None:
        self._load = load
        self._clock = clock
        self._known: OrderedDict[UUID, tuple[float, Tenant]] = OrderedDict()

    async def get(self, organization_id: UUID) -> Tenant | None:
        """Return the tenant, at most `REMEMBERED` out of date."""
        asked = self._clock()
        known = self._known.get(organization_id)
        if known is not None and asked < known[0]:
            return known[1]
        tenant = await run_in_threadpool(self._load, organization_id)
        self._known.pop(organization_id, None)
        if tenant is not None:
            self._known[organization_id] = (asked + REMEMBERED.total_seconds(), tenant)
            if len(self._known) > MOST_REMEMBERED:
                self._known.popitem(last=False)
        return tenant
