"""Who takes part in the demo, and how much each asks for."""

from dataclasses import dataclass

LEADS_PER_JOB = 100
SMALL_TENANTS = 5


@dataclass(frozen=True, slots=True)
class Member:
    """One organization of the demo."""

    name: str
    plan: str
    score_jobs: int
    """Scoring jobs, each of a hundred leads."""
    leads: int = 1_200
    events: int = 0
    """Analytics events, of the web log when it is there."""
    platforms: tuple[str, ...] = ()
    """Platforms on which it has one account each."""
    posts_per_account: int = 0


BUSY = (
    Member("Corner Bakery", "starter", 120, events=1_500, platforms=("mastodon",), posts_per_account=3),
    Member(
        "Megaphone Media",
        "professional",
        900,
        events=3_500,
        platforms=("bluesky", "mastodon"),
        posts_per_account=5,
    ),
    Member(
        "Atlas Group",
        "enterprise",
        600,
        events=5_000,
        platforms=("bluesky", "mastodon", "x", "linkedin", "facebook", "threads"),
        posts_per_account=3,
    ),
)
"""Always busy while they share the workers: one on each plan, so that their shares can be compared."""

FLOODER = BUSY[1].name

SMALL = tuple(Member(f"Studio {number}", "starter", 6, leads=100) for number in range(1, SMALL_TENANTS + 1))
"""They come while the flood is on, with a few jobs each."""
