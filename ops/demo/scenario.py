"""What the demo's organizations do, step by step, all of it over HTTP."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
from uuid_utils.compat import uuid7

from config.settings import Settings
from models.organization import Organization, load_tenant
from models.session import Database, tenant_session
from ops.demo import data
from ops.demo.cast import LEADS_PER_JOB, Member
from ops.demo.client import Participant
from ops.token import mint_token

LATER = timedelta(seconds=3)
"""From now until scheduled posts are due."""

SCORE_JOB = {"kind": "leads.score", "payload": {"all": True, "limit": LEADS_PER_JOB}}


def join(member: Member, *, database: Database, settings: Settings, intake_url: str) -> Participant:
    """Create the organization and hand it a token."""
    organization_id = uuid7()
    with tenant_session(database, organization_id) as session:
        session.add(
            Organization(organization_id=organization_id, name=member.name, plan=member.plan, time_zone="UTC")
        )
    tenant = load_tenant(database, organization_id)
    assert tenant is not None, "the organization was committed a moment ago"
    token = mint_token(settings, tenant)
    http = httpx.Client(base_url=intake_url, headers={"Authorization": f"Bearer {token}"}, timeout=30)
    return Participant(member, tenant, http)


def import_leads(who: Participant, source: Iterator[data.Lead]) -> None:
    """Import the organization's leads and what each did last."""
    leads = data.take(source, who.member.leads)
    who.post_in_parts("/leads/import", "leads", [lead.body for lead in leads])
    now = datetime.now(UTC).isoformat()
    did = [
        {"lead": lead.body["external_id"], "name": lead.activity, "occurred_at": now}
        for lead in leads
        if lead.activity
    ]
    who.post_in_parts("/leads/events", "events", did)


def send_events(who: Participant, source: Iterator[dict[str, Any]]) -> None:
    """Send the organization's web events, the last hundred of them twice."""
    events = data.take(source, who.member.events)
    who.post_in_parts("/analytics/events", "events", events)
    who.post_in_parts("/analytics/events", "events", events[-100:])


def schedule_posts(who: Participant, stand_in: httpx.Client) -> None:
    """Connect an account on each platform and schedule posts on it: some now, some a little later."""
    for platform in who.member.platforms:
        account = _connect(who, stand_in, platform)
        for number in range(1, who.member.posts_per_account + 1):
            due = datetime.now(UTC) + LATER * (number % 2)
            text = f"{who.member.name}, post {number}: fresh from the demo"
            body = {"account_id": account["id"], "text": text, "scheduled_at": due.isoformat()}
            who.post("/social/posts", body)


def _connect(who: Participant, stand_in: httpx.Client, platform: str) -> Any:
    handle = handle_of(who.member)
    granted = stand_in.post("/admin/accounts", json={"platform": platform, "handle": handle})
    grant = granted.raise_for_status().json()
    return who.post(
        "/social/accounts",
        {
            "platform": platform,
            "handle": handle,
            "remote_id": grant["identifier"],
            "access_token": grant["access_token"],
            "refresh_token": grant["refresh_token"],
            "expires_at": datetime.fromtimestamp(grant["expires_at"], UTC).isoformat(),
        },
    )


def handle_of(member: Member) -> str:
    """Return the handle of a member's accounts."""
    return f"{member.name.lower().replace(' ', '-')}.test"


def queue_work(who: Participant) -> None:
    """Submit the organization's scoring jobs, and one rollup when it has events."""
    if who.member.events:
        who.submit([{"kind": "analytics.rollup", "payload": {}}])
    who.submit([SCORE_JOB] * who.member.score_jobs)


def settle_accounts(who: Participant) -> None:
    """Submit the job that compares the organization's ledger with its periods."""
    who.submit([{"kind": "quota.account", "payload": {}}])
