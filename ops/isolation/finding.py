"""What an audit finds."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """One thing that could let a tenant reach another."""

    rule: str
    object: str
    found: str
    fix: str
