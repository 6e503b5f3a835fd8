"""What ``broker_transport_options`` may set."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from worker.fairshare.queue import Policy, TenantSettings

OPTION_NAMES = (
    "lease_ms",
    "guess_ms",
    "max_tries",
    "longest_run_ms",
    "weight",
    "cap",
    "soft_cap",
    "max_backlog",
    "batch_size",
    "lookahead_ms",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The options, with their defaults. Each field is one transport option."""

    lease_ms: int = 60_000
    """A job whose worker vanished runs elsewhere after this long."""
    guess_ms: int = 100
    """Worker time charged ahead for a task that never ran."""
    max_tries: int = 20
    """A job lost or requeued this often goes to the dead letters."""
    longest_run_ms: int = 6 * 3600 * 1000
    """A lease is not renewed beyond this: the worker has lost sight of such a job."""
    weight: float = 1
    """Settings of a tenant that the queue meets for the first time, if its message brings none."""
    cap: int | None = None
    soft_cap: int | None = None
    max_backlog: int | None = None
    batch_size: int = 128
    """Messages in one round trip at most."""
    lookahead_ms: float = 8
    """Short jobs are fetched ahead for this long a time; what waits longer is given back."""

    @classmethod
    def of(cls, given: dict[str, Any]) -> "Options":
        """Read the options out of ``broker_transport_options``, which also holds Kombu's own."""
        return cls(**{name: given[name] for name in OPTION_NAMES if name in given})

    @property
    def policy(self) -> Policy:
        """How leases are given."""
        return Policy(
            lease=timedelta(milliseconds=self.lease_ms),
            guess=timedelta(milliseconds=self.guess_ms),
            max_tries=self.max_tries,
            longest_run=timedelta(milliseconds=self.longest_run_ms),
        )

    @property
    def settings(self) -> TenantSettings:
        """What a tenant may use whose message says nothing of it."""
        return TenantSettings(
            weight=self.weight, cap=self.cap, soft_cap=self.soft_cap, max_backlog=self.max_backlog
        )
