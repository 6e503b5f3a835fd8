"""Settings that an organization may make: each key with its type, its default and what it is for."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Annotated, Any, Literal

from pydantic import TypeAdapter
from sqlalchemy import select
from sqlalchemy.orm import Session

from intake.ingest.fields import Currency, shaped
from models.setting import Setting
from tasks.payloads import Text


@dataclass(frozen=True, slots=True)
class SettingKey:
    """A setting: unset, it has its default."""

    name: str
    type: TypeAdapter[Any]
    default: Any
    purpose: str


CURRENCY = SettingKey(
    "campaigns.currency", TypeAdapter(Currency | None), None, "Of a new campaign's budget that names none."
)
Locale = Annotated[Text, shaped(r"[a-z]{2,3}(-[A-Z]{2})?", "must be a language, as in de or pt-BR")]
WeekDay = Literal["monday", "saturday", "sunday"]

KEYS: Mapping[str, SettingKey] = MappingProxyType(
    {
        key.name: key
        for key in (
            CURRENCY,
            SettingKey(
                "display.locale", TypeAdapter(Locale), "en", "Language in which clients show what is ours."
            ),
            SettingKey(
                "display.week_begins",
                TypeAdapter(WeekDay),
                "monday",
                "First day of calendars that clients show.",
            ),
        )
    }
)
"""Other keys of the table belong to what reads them, such as scoring, and are set there."""


def read_setting(session: Session, key: SettingKey) -> Any:
    """Return what the organization set, or the default."""
    found = session.execute(select(Setting.value).where(Setting.key == key.name)).one_or_none()
    return key.default if found is None else found.value
