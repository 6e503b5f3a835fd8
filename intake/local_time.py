"""Moments that people name by their own clock: hours that are skipped or come twice are told."""

from datetime import UTC, datetime
from functools import cache
from zoneinfo import ZoneInfo, available_timezones

from intake.problem import FieldError, InvalidRequestError


def to_moment(named: datetime, *, time_zone: str, field: str) -> datetime:
    """Return the moment that *named* is; one without an offset is read in *time_zone*.

    Raises:
        InvalidRequestError: The clocks skip it that day, or show it twice.
    """
    if named.tzinfo is not None:
        return named.astimezone(UTC)
    zone = ZoneInfo(time_zone)
    first, second = (named.replace(tzinfo=zone, fold=fold) for fold in (0, 1))
    if first.utcoffset() == second.utcoffset():
        return first.astimezone(UTC)
    before, after = first.isoformat(), second.isoformat()
    if _exists(first, zone):
        message = f"comes twice in {time_zone}, when the clocks go back: write {before} or {after}"
    else:
        shifted = first.astimezone(UTC).astimezone(zone)
        message = (
            f"does not exist in {time_zone}: the clocks go forward over it; "
            f"write {shifted.replace(tzinfo=None).isoformat()}, or a time before"
        )
    raise InvalidRequestError([FieldError(field=field, message=message)])


def known_zone(name: str) -> str:
    """Refuse what is no time zone."""
    if name not in _zones():
        raise ValueError("must be a time zone, as in Europe/Berlin")
    return name


@cache
def _zones() -> frozenset[str]:
    return frozenset(available_timezones())


def _exists(local: datetime, zone: ZoneInfo) -> bool:
    return local.astimezone(UTC).astimezone(zone).replace(tzinfo=None) == local.replace(tzinfo=None)
