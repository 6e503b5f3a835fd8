"""What the demo's organizations send: real leads and web requests where they are, else generated ones."""

import csv
import random
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any

from config.settings import ROOT

SHARED_DATA = ROOT.parent / "shared" / "data"
LEADS_FILE = SHARED_DATA / "leads_x_education.csv"
EVENTS_FILE = SHARED_DATA / "web_events_apache.log"

ACTIVITIES = {
    "Email Opened": "email_opened",
    "Email Link Clicked": "email_clicked",
    "Page Visited on Website": "page_viewed",
    "Olark Chat Conversation": "chat_started",
    "Form Submitted on Website": "form_submitted",
    "Had a Phone Conversation": "call_answered",
    "Unsubscribed": "unsubscribed",
}
"""Last activity of a lead in the real file, to our event names."""

REQUEST = re.compile(r'^(\S+) \S+ \S+ \[([^\]]+)\] "(?:GET|POST|HEAD|OPTIONS) (\S+)')

SEED = 20261123


@dataclass(frozen=True, slots=True)
class Lead:
    """A lead as the intake takes it, and what it did last."""

    body: Mapping[str, Any]
    activity: str | None


def leads_source() -> str:
    """Say where the leads come from."""
    return "real (leads_x_education.csv)" if LEADS_FILE.exists() else "generated"


def events_source() -> str:
    """Say where the events come from."""
    return "real (web_events_apache.log)" if EVENTS_FILE.exists() else "generated"


def leads() -> Iterator[Lead]:
    """Yield leads without end; the real ones first."""
    if LEADS_FILE.exists():
        yield from _real_leads(LEADS_FILE)
    yield from _generated_leads()


def events(now: datetime) -> Iterator[dict[str, Any]]:
    """Yield web events without end, each with its own key; the real ones first, moved to the last days."""
    if EVENTS_FILE.exists():
        yield from _real_events(EVENTS_FILE, now)
    yield from _generated_events(now)


def _real_leads(path: Path) -> Iterator[Lead]:
    with path.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            attributes = {
                "occupation": row["What is your current occupation"],
                "city": row["City"],
                "country": row["Country"],
                "specialization": row["Specialization"],
                "do_not_email": row["Do Not Email"],
                "visits": float(row["TotalVisits"] or 0),
                "seconds_on_site": float(row["Total Time Spent on Website"] or 0),
            }
            number = row["Lead Number"]
            body = {
                "external_id": row["Prospect ID"],
                "email": f"lead-{number}@example.org",
                "first_name": f"Lead {number}",
                "source": row["Lead Source"] or "unknown",
                "converted": row["Converted"] == "1",
                "attributes": {name: value for name, value in attributes.items() if value != "Select"},
            }
            yield Lead(body, ACTIVITIES.get(row["Last Activity"]))


def _generated_leads() -> Iterator[Lead]:
    chance = random.Random(SEED)  # noqa: S311 - test data
    number = 0
    while True:
        number += 1
        interest = chance.random()
        attributes = {
            "occupation": chance.choice(("Unemployed", "Student", "Working Professional")),
            "visits": chance.randint(0, 10),
            "seconds_on_site": round(interest * chance.randint(60, 2_000)),
        }
        body = {
            "external_id": f"generated-{number}",
            "email": f"lead-{number}@example.org",
            "first_name": f"Lead {number}",
            "source": chance.choice(("Referral", "Google", "Direct Traffic")),
            "converted": chance.random() < interest,
            "attributes": attributes,
        }
        yield Lead(body, chance.choice([*ACTIVITIES.values(), None]))


def _real_events(path: Path, now: datetime) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8", errors="replace") as file:
        matches = [match for line in file if (match := REQUEST.match(line))]
    moments = [datetime.strptime(match[2], "%d/%b/%Y:%H:%M:%S %z") for match in matches]
    shift = now - max(moments)
    for number, (match, moment) in enumerate(zip(matches, moments, strict=True)):
        yield _event(f"log-{number}", moment + shift, visitor=match[1], page=match[3])


def _generated_events(now: datetime) -> Iterator[dict[str, Any]]:
    chance = random.Random(SEED)  # noqa: S311 - test data
    number = 0
    while True:
        number += 1
        moment = now - timedelta(hours=chance.random() * 72)
        visitor = f"visitor-{chance.randint(1, 1_500)}"
        yield _event(f"generated-{number}", moment, visitor=visitor, page=f"/page/{chance.randint(1, 40)}")


def _event(key: str, moment: datetime, *, visitor: str, page: str) -> dict[str, Any]:
    occurred_at = moment.astimezone(UTC).isoformat()
    return {
        "key": key,
        "name": "page_viewed",
        "occurred_at": occurred_at,
        "visitor": visitor,
        "attributes": {"page": page[:200]},
    }


def take(source: Iterator[Any], count: int) -> list[Any]:
    """Return the next *count* of *source*."""
    return list(islice(source, count))
