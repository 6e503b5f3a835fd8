"""One row in every table of a tenant, so that each table is there to be attacked."""

from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Table, insert
from sqlalchemy.orm import Session
from uuid_utils.compat import uuid7

from models.registry import load_tables

MOMENT = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)
WRITTEN_BY_TRIGGER = {"audit_log", "audit_heads", "audit_details", "audit_names"}


def fill(session: Session, organization_id: UUID, plan: str = "professional") -> dict[str, dict[str, Any]]:
    """Insert one row per table and return them by table name."""
    ids: dict[str, UUID] = {
        name: uuid7()
        for name in (
            *("user", "campaign", "lead", "account", "post", "job", "schedule"),
            *("alert", "endpoint", "recipient", "delivery"),
        )
    }
    rows = _core_rows(ids, plan) | _job_rows(ids) | _report_rows(ids)
    tables = load_tables()
    for name, row in rows.items():
        row["organization_id"] = organization_id
        session.execute(insert(tables.tables[name]).values(**row))
    return rows


def attackable_tables() -> list[Table]:
    """Return every mapped table; a new one without a row in `fill` fails the test that asks for it."""
    return sorted(load_tables().tables.values(), key=lambda table: table.name)


def _core_rows(ids: dict[str, UUID], plan: str) -> dict[str, dict[str, Any]]:
    return {
        "organizations": {"name": "Acme", "plan": plan},
        "users": {"id": ids["user"], "email": "Ann@example.org", "email_norm": "ann@example.org"},
        "subscriptions": {"plan": plan, "anchor_date": date(2026, 1, 31), "started_at": MOMENT},
        "settings": {"key": "colour", "value": {"name": "green"}},
        "api_keys": {
            "name": "import",
            "scopes": ["manage_leads"],
            "hint": "abcd",
            "secret_hash": b"\x00" * 32,
            "created_by": "ann",
        },
        "organization_stops": {"until": MOMENT},
        "revocations": {"target": "token", "subject": "t-1", "revoked_by": "ann"},
        "custom_domains": {"domain": "news.example.org", "token": "genius-1"},
        "campaigns": {"id": ids["campaign"], "name": "Spring", "status": "active", "created_by": ids["user"]},
        "content_assets": {"kind": "text", "title": "Hello", "campaign_id": ids["campaign"]},
        "leads": {"id": ids["lead"], "email": "lea@example.org", "external_id": "1"},
        "lead_events": {"lead_id": ids["lead"], "name": "visit", "occurred_at": MOMENT},
        "lead_changes": {"lead_id": ids["lead"]},
        "lead_rule_sets": {"version": 1, "rules": {}},
        "lead_models": {"version": 1, "model": {}},
        "social_accounts": {"id": ids["account"], "platform": "bluesky", "handle": "acme.test"},
        "social_posts": {
            "id": ids["post"],
            "account_id": ids["account"],
            "platform": "bluesky",
            "body": "Hello",
        },
        "social_authorizations": {
            "user_id": "ann",
            "platform": "mastodon",
            "account_id": ids["account"],
            "state_hash": b"\x00",
            "redirect_url": "https://app.example.org/back",
            "expires_at": MOMENT,
        },
        "social_clients": {
            "platform": "mastodon",
            "server_url": "https://social.example.org",
            "redirect_url": "https://app.example.org/back",
            "client_id": "client",
            "client_secret_encrypted": b"\x00",
        },
        "analytics_events": {"name": "view", "occurred_at": MOMENT},
        "analytics_event_keys": {"key": "1"},
        "analytics_watermarks": {"rollup": "buckets"},
        "analytics_buckets": {"starts_at": MOMENT, "name": "view", "events": 1},
        "analytics_visitors": {"visitor": 1, "day": MOMENT.date(), "name": "view", "quarters": "0" * 96},
        "analytics_days": {
            "dimension": "total",
            "day": MOMENT.date(),
            "name": "",
            "member": "",
            "events": 1,
            "value_sum": 0.0,
        },
        "schedules": {
            "id": ids["schedule"],
            "name": "Nightly",
            "kind": "leads.score",
            "payload": {},
            "cron": "0 3 * * *",
            "time_zone": "UTC",
            "starts_at": MOMENT,
        },
        "schedule_runs": {
            "schedule_id": ids["schedule"],
            "nominal_time": MOMENT,
            "state": "fired",
            "trigger": "schedule",
            "job_id": ids["job"],
        },
    }


def _job_rows(ids: dict[str, UUID]) -> dict[str, dict[str, Any]]:
    job = {"job_id": ids["job"]}
    return {
        "jobs": {
            "id": ids["job"],
            "kind": "leads.score",
            "lane": "scoring",
            "state": "running",
            "payload": {},
            "priority": 0,
            "attempt": 1,
            "max_attempts": 5,
            "attempts_per_life": 5,
        },
        "job_history": {
            "id": ids["job"],
            "kind": "leads.score",
            "lane": "scoring",
            "state": "succeeded",
            "payload": {},
            "priority": 0,
            "max_attempts": 5,
            "attempts_per_life": 5,
        },
        "job_events": job | {"id": uuid7(), "attempt": 1, "state": "running"},
        "job_leases": job | {"attempt": 1, "worker": "w", "leased_until": MOMENT},
        "outbox": job | {"attempt": 1, "kind": "leads.score", "lane": "scoring", "priority": 0},
        "job_waits": job | {"after_id": ids["job"]},
        "job_expiries": job | {"expires_at": MOMENT},
        "dead_letters": job | {"kind": "leads.score", "attempts": 1, "fingerprint": "f"},
        "idempotency_keys": job | {"key": "1", "fingerprint": "f"},
        "quota_periods": {"meter": "jobs_month", "period_start": MOMENT, "period_end": MOMENT},
        "quota_reservations": job
        | {"meter": "jobs_month", "period_start": MOMENT, "quantity": 1, "state": "held"},
        "usage_ledger": job | {"meter": "jobs_month", "period_start": MOMENT, "quantity": 1},
        "usage_alerts": {
            "meter": "jobs_month",
            "period_start": MOMENT,
            "period_end": MOMENT,
            "threshold": 80,
            "amount": 1,
            "used": 1,
        },
        "worker_time_marks": {"lineage": "l", "counted_us": 1},
    }


def _report_rows(ids: dict[str, UUID]) -> dict[str, dict[str, Any]]:
    day = date(2026, 1, 26)
    return {
        "reports": {
            "grain": "week",
            "first_day": day,
            "last_day": day,
            "time_zone": "UTC",
            "revision": 1,
            "shape_version": 1,
            "sha256": b"\x00",
            "document": "{}",
            "csv": "",
            "html": "",
        },
        "alerts": {
            "id": ids["alert"],
            "condition": "quota",
            "subject": "posts_month/80",
            "period_start": MOMENT,
            "severity": "warning",
            "title": "Most of posts_month is used",
        },
        "webhook_endpoints": {
            "id": ids["endpoint"],
            "url": "https://hooks.example.net/in",
            "secret_encrypted": b"\x00",
        },
        "email_recipients": {
            "id": ids["recipient"],
            "email": "Ann@example.org",
            "email_norm": "ann@example.org",
        },
        "alert_deliveries": {
            "id": ids["delivery"],
            "alert_id": ids["alert"],
            "endpoint_id": ids["endpoint"],
            "event": "alert.raised",
            "body": "{}",
            "job_id": ids["job"],
        },
        "delivery_attempts": {"delivery_id": ids["delivery"], "attempt": 1, "milliseconds": 1},
        "privacy_requests": {"kind": "export", "scope": "organization"},
    }
