"""How every Redis key of the fair-share queue is spelled."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LaneKeys:
    """The keys of one lane. All share a hash tag, so a script may touch all of them on a cluster too."""

    lane: str
    prefix: str = ""

    @property
    def base(self) -> str:
        """What every key of the lane begins with; the scripts build the others from it."""
        return f"{self.prefix}{{fair:{self.lane}}}"

    def of(self, part: str) -> str:
        """Spell a key of the lane: ready, burst, limited, due, leases, lease, body, clock, tries, ... ."""
        return f"{self.base}:{part}"

    def of_tenant(self, part: str, tenant: str) -> str:
        """Spell a key of a tenant: t (settings), q (waiting), d (delayed), f (in flight), h (put aside)."""
        return f"{self.base}:{part}:{tenant}"

    @property
    def bell(self) -> str:
        """Spell the list that blocked workers wait on."""
        return self.of("bell")
