"""Analytics answers, remembered for a moment: dashboards ask the same again and again.

Events, corrections and erasures that come through the intake change them, and invalidate them too.
What retention and the erasure of a person change, which run as jobs, shows within `LASTS`.
"""

from collections.abc import Callable
from datetime import timedelta

from fastapi import Request

from intake.auth import Caller
from intake.views.analytics import AnswerView
from models.tenant_cache import Namespace, TenantCache
from tasks.payloads import AnalyticsQuery

ANSWERS = "analytics"
LASTS = timedelta(seconds=30)


def remembered_answer(
    request: Request, caller: Caller, asked: AnalyticsQuery, make: Callable[[], AnswerView]
) -> bytes:
    """Return the answer as JSON; days are those of the organization's zone, which is part of the question."""
    name = f"{caller.tenant.time_zone} {asked.model_dump_json()}"
    return _cache(request).get_or_make(
        _namespace(caller), name, lambda: make().model_dump_json().encode(), lasts=LASTS
    )


def answers_changed(request: Request, caller: Caller) -> None:
    """Forget every answer of the caller's organization; call it after the commit."""
    _cache(request).invalidate(_namespace(caller))


def _cache(request: Request) -> TenantCache:
    cache: TenantCache = request.app.state.cache
    return cache


def _namespace(caller: Caller) -> Namespace:
    return Namespace(caller.tenant.organization_id, ANSWERS)
