"""What must hold when the demo is over."""

from collections.abc import Mapping, Sequence
from typing import Any

import httpx

from models.job import JobState
from models.session import Database
from ops.demo import measure
from ops.demo.client import Participant
from ops.demo.measure import Run, Scoring, Share
from ops.demo.report import Check

SHARE_TOLERANCE = 0.05
"""Parts of the whole that a share may be off in a run of seconds; the proof is docs/fairness.md's."""

WAIT_RATIO = 0.1
"""Small tenants wait at most this part of what they wait on stock Celery."""


def every_job_succeeded(histories: Sequence[tuple[Participant, list[Run]]]) -> Check:
    """Check that each accepted job came to a good end."""
    jobs = [run for _, history in histories for run in history]
    good = sum(run.state == JobState.SUCCEEDED for run in jobs)
    return Check("every accepted job succeeded", good == len(jobs) > 0, f"{good:,} of {len(jobs):,}")


def nothing_left_over(database: Database, everybody: Sequence[Participant]) -> Check:
    """Check that no lease, outbox row or quota hold outlived its job."""
    rows = sum(measure.leftovers(database, who) for who in everybody)
    return Check("no lease, outbox row or quota hold is left", rows == 0, f"{rows} rows")


def ledgers_agree(database: Database, everybody: Sequence[Participant]) -> Check:
    """Check that what the periods say was used is what the ledgers sum up to."""
    quotas = [quota for who in everybody for quota in measure.quotas(database, who)]
    off = sum(quota.used != quota.ledger for quota in quotas)
    used = sum(quota.used for quota in quotas)
    return Check(
        "quota used equals the ledger, meter by meter",
        off == 0 < used,
        f"{len(quotas)} meters, {used:,} units, {off} differ",
    )


def shares_follow_weights(shares: Sequence[Share]) -> Check:
    """Check that always-busy tenants got worker time by weight."""
    worst = max(abs(share.got - share.entitled) for share in shares)
    return Check(
        f"always-busy tenants' worker time is within {SHARE_TOLERANCE:.0%} of their weights' shares",
        worst <= SHARE_TOLERANCE,
        f"worst is {worst:.1%} off",
    )


def leads_scored(scorings: Sequence[Scoring]) -> Check:
    """Check that every lead was scored and that its reasons sum to its score."""
    leads, scored, match = (
        sum(getattr(scoring, name) for scoring in scorings) for name in ("leads", "scored", "sums_match")
    )
    return Check(
        "every lead is scored and its reasons sum to its score",
        leads == scored == match > 0,
        f"{match:,} of {leads:,}",
    )


def events_rolled_up(database: Database, everybody: Sequence[Participant]) -> Check:
    """Check that the buckets hold each event once, those sent twice too."""
    pairs = [measure.rolled_up(database, who) for who in everybody if who.member.events]
    counted, sent = sum(pair[0] for pair in pairs), sum(who.member.events for who in everybody)
    return Check(
        "each analytics event is counted once, those sent twice too",
        counted == sent,
        f"{counted:,} counted, {sent:,} sent",
    )


def posted_once(database: Database, stand_in: httpx.Client, everybody: Sequence[Participant]) -> Check:
    """Check that the stand-in holds each post exactly once."""
    planned = sorted(row.body for who in everybody for row in measure.posts(database, who))
    found = sorted(text for who in everybody for text in measure.records_on_stand_in(stand_in, who))
    out = sum(measure.published(measure.posts(database, who)) for who in everybody)
    return Check(
        "each post is on the stand-in exactly once",
        planned == found and out == len(planned) > 0,
        f"{len(planned)} planned, {out} published, {len(found)} read back",
    )


def tenants_are_apart(database: Database, everybody: Sequence[Participant]) -> Check:
    """Check that raw SQL sees the bound tenant's rows only, and unbound none."""
    seen = [measure.leads_seen_by(database, who) for who in everybody]
    apart = all(total == own > 0 for total, own in seen)
    foreign = sum(total - own for total, own in seen)
    return Check(
        "raw SQL as the application role sees the bound tenant's rows only, and unbound none",
        apart and measure.unbound_is_refused(database),
        f"{foreign} foreign rows in {len(seen)} sessions",
    )


def small_tenants_wait_less(noisy: Mapping[str, Any]) -> Check:
    """Check the comparison with stock Celery under the same flood."""
    ours, stock = noisy["systems"]["fair share"], noisy["systems"]["celery, one queue"]
    return Check(
        f"under a flood small tenants wait less than {WAIT_RATIO:.0%} of what they wait on stock Celery",
        all(ours[part] < WAIT_RATIO * stock[part] for part in ("p50", "p99")),
        ", ".join(f"{part} {ours[part]:.2f} s against {stock[part]:.2f} s" for part in ("p50", "p99")),
    )
