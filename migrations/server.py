"""Where migrations run, and on which Postgres servers it is safe to."""

FIXED_IN = {15: 14, 16: 10, 17: 6}
"""Major version to its first minor without CVE-2024-10976 and CVE-2025-8713: both leak past policies."""


class UnsupportedServerError(Exception):
    """The server leaks rows past row-level security, or lacks what we use."""

    def __init__(self, version: int, needed: str) -> None:
        super().__init__(f"Postgres {version // 10_000}.{version % 10_000} is not safe: upgrade to {needed}")
        self.version = version
        self.needed = needed


def refuse_unsafe(version: int) -> None:
    """Raise UnsupportedServerError unless the server (``server_version_num``) has the fixes."""
    major, minor = divmod(version, 10_000)
    oldest = min(FIXED_IN)
    if major < oldest:
        raise UnsupportedServerError(version, f"{oldest}.{FIXED_IN[oldest]} or newer")
    if minor < FIXED_IN.get(major, 0):
        raise UnsupportedServerError(version, f"{major}.{FIXED_IN[major]} or newer")


class OwnerUrlMissingError(Exception):
    """There is no URL to migrate by."""

    def __init__(self) -> None:
        super().__init__("set GENIUS_OWNER_DATABASE_URL, or give alembic -x url=postgresql://...")


class OfflineMigrationError(Exception):
    """Migrations look at the server's version and install the seal key, so they need a server."""

    def __init__(self) -> None:
        super().__init__("migrations do not run with --sql: they need a server to run against")
