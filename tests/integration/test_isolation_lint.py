"""A second opinion on the policies: what pgrls finds is accepted here by name, with the reason."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from ops.stack import PostgresUrls, Stack
from tests.support.clone import clone

LINTER = Path(sys.executable).with_name("pgrls")

OF_THE_RELAY = (
    r"public\.\w+\.relay",
    "its role sees the ids and states of all organizations, and is no tenant's",
)
BY_THE_AUDIT = (r".+", "genius audit-isolation names each function that runs as the owner, and why")
ACCEPTED: dict[str, tuple[str, str]] = {
    "SEC001": (r"app\.\w+|public\.alembic_version", "no role but the owner has any right to it"),
    "SEC005": OF_THE_RELAY,
    "SEC008": OF_THE_RELAY,
    "SEC013": BY_THE_AUDIT,
    "SEC014": BY_THE_AUDIT,
    "SEC027": (
        r"public\.social_authorizations",
        "accounts belong to the organization, not to who connects them",
    ),
    "SEC028": OF_THE_RELAY,
    "SEC038": OF_THE_RELAY,
    "VIEW002": (r"public\.live_\w+", "hides what was removed; whose rows they are the table's policies say"),
}


@pytest.fixture
def urls(stack: Stack, template: str) -> Iterator[PostgresUrls]:
    with clone(stack, template) as urls:
        yield urls


def lint(urls: PostgresUrls) -> list[tuple[str, str]]:
    """Return rule and place of each finding."""
    assert urls.superuser_url is not None
    command = [
        LINTER,
        "lint",
        "--database-url",
        urls.superuser_url,
        "--schemas",
        "public,app",
        "--format",
        "json",
    ]
    done = subprocess.run(command, capture_output=True, check=False, timeout=120)  # noqa: S603 - our own tool
    found = json.loads(done.stdout)["violations"]
    return [(each["rule_id"], each["location"]) for each in found]


def refused(found: list[tuple[str, str]]) -> list[tuple[str, str]]:
    return [
        (rule, place) for rule, place in found if not re.fullmatch(ACCEPTED.get(rule, ("", ""))[0], place)
    ]


def test_a_linter_for_policies_finds_what_was_accepted_and_then_what_is_planted(urls: PostgresUrls) -> None:
    found = lint(urls)
    assert refused(found) == []
    assert {rule for rule, _ in found} == set(ACCEPTED), "an exception that nothing needs any more"

    assert urls.superuser_url is not None
    with psycopg.connect(urls.superuser_url) as connection:
        connection.execute("CREATE TABLE public.bare (organization_id uuid, id uuid)")
        connection.execute("CREATE POLICY anybody ON leads TO genius_app USING (true)")
    assert {("SEC001", "public.bare"), ("SEC008", "public.leads.anybody")} <= set(refused(lint(urls)))
