"""Why nothing of a submission was recorded: errors with their data, and what database functions raise."""

import json
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

import psycopg

from config.plans import cheapest_with


class SqlState(StrEnum):
    """Codes that our database functions raise."""

    QUOTA_USED_UP = "GQ001"
    KEY_REUSED = "GI001"
    ORGANIZATION_NOT_ACTIVE = "GO001"
    PREDECESSOR_UNKNOWN = "GW001"
    PREDECESSOR_FAILED = "GW002"


class SubmitError(Exception):
    """Nothing of the submission was recorded."""


class OrganizationInactiveError(SubmitError):
    """The organization may not submit jobs now."""


class WrongRegionError(SubmitError):
    """The organization is at home in another region: its jobs are recorded and run there."""

    def __init__(self, region: str) -> None:
        super().__init__(f"the organization is of region {region}")
        self.region = region


class FeatureNotInPlanError(SubmitError):
    """The plan lacks the feature that a kind needs."""

    def __init__(self, feature: str, plan: str) -> None:
        upgrade = cheapest_with(feature)
        hint = f" Upgrade to {upgrade.name} to use it." if upgrade else ""
        super().__init__(f"Feature {feature} is not in plan {plan}.{hint}")
        self.feature = feature
        self.plan = plan


class LimitExceededError(SubmitError):
    """The period's quota of a meter does not cover the submission."""

    def __init__(self, meter: str, limit: int, resets_at: datetime) -> None:
        super().__init__(f"Resource limit exceeded. Upgrade plan to increase {meter} limit")
        self.meter = meter
        self.limit = limit
        self.resets_at = resets_at


class BacklogFullError(SubmitError):
    """More of the tenant's jobs would wait in a lane than its plan allows."""

    def __init__(self, *, lane: str, waiting: int, limit: int, retry_after: timedelta) -> None:
        super().__init__(f"{waiting} jobs wait in the lane {lane}; the plan allows {limit}")
        self.lane = lane
        self.waiting = waiting
        self.limit = limit
        self.retry_after = retry_after
        """When there should be room for the whole submission."""


class IdempotencyConflictError(SubmitError):
    """The idempotency key named another submission before."""

    def __init__(self, key: str) -> None:
        super().__init__(f"Idempotency-Key {key!r} was used with another body")
        self.key = key


class PredecessorError(SubmitError):
    """The job to wait for will never succeed: there is none, or it ended otherwise."""

    def __init__(self, job_id: UUID, state: str | None) -> None:
        super().__init__(f"cannot wait for job {job_id}: {state or 'there is none'}")
        self.job_id = job_id
        self.state = state
        """None: the tenant has no such job."""


def translated(error: psycopg.Error) -> Exception:
    """Return the submit error that a database function raised, or *error* itself."""
    detail = error.diag.message_detail or ""
    match error.sqlstate:
        case SqlState.QUOTA_USED_UP:
            used_up = json.loads(detail)
            resets_at = datetime.fromisoformat(used_up["resets_at"])
            return LimitExceededError(used_up["meter"], used_up["limit"], resets_at)
        case SqlState.KEY_REUSED:
            return IdempotencyConflictError(detail)
        case SqlState.ORGANIZATION_NOT_ACTIVE:
            return OrganizationInactiveError("organization is not active")
        case SqlState.PREDECESSOR_UNKNOWN:
            return PredecessorError(UUID(detail), None)
        case SqlState.PREDECESSOR_FAILED:
            state, _, job_id = detail.partition(" ")
            return PredecessorError(UUID(job_id), state)
        case _:
            return error
