"""Ten weeks of an organization's life, for a report to tell of; names as people really write them."""

import random
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import insert
from uuid_utils.compat import uuid7

from models.analytics import AnalyticsEvent
from models.campaign import Campaign
from models.job import Job
from models.lead import Lead
from models.organization import Organization, Tenant, load_tenant
from models.session import Database, tenant_session
from models.social import SocialAccount, SocialPost
from models.usage import UsageRecord, billing_period

MARKUP = '<script>alert("x")</script> & <b>Sons</b>'
HEBREW = "מאפיית השכונה"
ARABIC = "مقهى الزاوية"
EMOJI = "Café 👩🏽‍🍳 & Söhne 🥐"
OVERRIDE = "invoice\u202efdp.exe"
FORMULA = '=HYPERLINK("http://example.org","win")'

ZONE = "Europe/Berlin"
MONDAY = datetime(2026, 9, 28, tzinfo=ZoneInfo(ZONE))
"""Of the last seeded week."""
WEEKS = 10


def seed(database: Database, *, name: str = EMOJI, plan: str = "professional") -> Tenant:
    """Make an organization with ten weeks of figures up to the week of `MONDAY`."""
    organization_id, chance = uuid7(), random.Random(7)
    began = MONDAY - timedelta(weeks=WEEKS)
    with tenant_session(database, organization_id) as session:
        session.add(
            Organization(
                organization_id=organization_id, name=name, plan=plan, time_zone=ZONE, created_at=began
            )
        )
        session.flush()
        rows = _rows(chance, began)
        for table, made in rows.items():
            for row in made:
                row["organization_id"] = organization_id
            session.execute(insert(table), made)
    tenant = load_tenant(database, organization_id)
    assert tenant is not None
    return tenant


def _rows(chance: random.Random, began: datetime) -> dict[Any, list[dict[str, Any]]]:
    accounts = [
        {"id": uuid7(), "platform": "bluesky", "handle": ARABIC, "status": "active"},
        {"id": uuid7(), "platform": "mastodon", "handle": MARKUP, "status": "needs_reauth"},
        {"id": uuid7(), "platform": "linkedin", "handle": OVERRIDE, "status": "active"},
    ]
    campaigns = [{"id": uuid7(), "name": name, "status": "active"} for name in (HEBREW, FORMULA, "Autumn 🍂")]
    rows: dict[Any, list[dict[str, Any]]] = {
        SocialAccount: accounts,
        Campaign: campaigns,
        SocialPost: [],
        Lead: [],
        UsageRecord: [],
        Job: [],
        AnalyticsEvent: [],
    }
    people = [uuid7() for _ in range(4)]
    for week in range(WEEKS + 1):
        start = began + timedelta(weeks=week)
        rows[SocialPost] += _posts(chance, start, week, accounts, campaigns)
        rows[Lead] += _leads(chance, start, week, campaigns)
        rows[Job] += _jobs(chance, start, people)
        rows[UsageRecord] += _usage(chance, start, week)
        rows[AnalyticsEvent] += _events(chance, start, week)
    return rows


def _moment(chance: random.Random, start: datetime) -> datetime:
    return (start + timedelta(seconds=chance.randrange(7 * 86_400 - 3_600))).astimezone(UTC)


def _posts(chance: random.Random, start: datetime, week: int, accounts: Any, campaigns: Any) -> list[Any]:
    posts = []
    for number in range(5 if week == WEEKS else 12 + week // 3):
        account, planned = accounts[number % 3], _moment(chance, start)
        failed = account["status"] != "active" and chance.random() < 0.5
        out = planned + timedelta(seconds=chance.randrange(2, 40))
        posts.append(
            {
                "id": uuid7(),
                "account_id": account["id"],
                "campaign_id": campaigns[number % 3]["id"],
                "platform": account["platform"],
                "state": "blocked_reauth" if failed else "published",
                "body": "Hello",
                "scheduled_at": planned,
                "published_at": None if failed else out,
                "updated_at": out,
            }
        )
    return posts


def _leads(chance: random.Random, start: datetime, week: int, campaigns: Any) -> list[Any]:
    leads = []
    for number in range(40 + 6 * week + chance.randrange(8)):
        came, won = _moment(chance, start), chance.random() < 0.2 - week * 0.01
        leads.append(
            {
                "id": uuid7(),
                "source": (EMOJI, "Referral", "Google", MARKUP, None)[number % 5],
                "campaign_id": campaigns[number % 3]["id"],
                "score": chance.randrange(20, 90),
                "last_scored_at": came if number % 4 else None,
                "converted": won,
                "converted_at": came if won else None,
                "created_at": came,
            }
        )
    return leads


def _jobs(chance: random.Random, start: datetime, people: Any) -> list[Any]:
    jobs = []
    for number in range(30):
        made = _moment(chance, start)
        begun = made + timedelta(seconds=chance.random() * 4)
        jobs.append(
            {
                "id": _id_at(chance, made),
                "kind": "leads.score",
                "lane": "scoring",
                "state": "dead" if number == 0 else "succeeded",
                "payload": {},
                "priority": 0,
                "attempt": 1,
                "max_attempts": 5,
                "attempts_per_life": 5,
                "requested_by": people[number % len(people)],
                "created_at": made,
                "started_at": begun,
                "finished_at": begun + timedelta(seconds=1),
            }
        )
    return jobs


def _usage(chance: random.Random, start: datetime, week: int) -> list[Any]:
    return [
        {
            "id": uuid7(),
            "job_id": uuid7(),
            "meter": meter,
            "period_start": billing_period(
                (MONDAY - timedelta(weeks=WEEKS)).date(), time_zone=ZONE, at=recorded
            ).start,
            "quantity": quantity,
            "recorded_at": recorded,
        }
        for meter, quantity in (
            ("jobs_month", 900 + 40 * week),
            ("leads_scored_month", 140_000 + 9_000 * week),
            ("posts_month", 13),
            ("worker_seconds_month", 5_200),
        )
        for recorded in [_moment(chance, start)]
    ]


def _events(chance: random.Random, start: datetime, week: int) -> list[Any]:
    return [
        {
            "name": "page_viewed",
            "visitor": f"visitor-{chance.randrange(600 + 30 * week)}",
            "value": chance.choice((None, 9.5)),
            "occurred_at": _moment(chance, start),
        }
        for _ in range(120 + 9 * week)
    ]


def _id_at(chance: random.Random, moment: datetime) -> Any:
    from tasks.reporting.reading import earliest_id  # noqa: PLC0415 - a worker's module

    return type(earliest_id(moment))(int=earliest_id(moment).int | chance.getrandbits(60))
