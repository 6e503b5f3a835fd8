"""Who a request is about: the rows that are the person, and the words by which traces of them are found."""

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any, TypeVar
from urllib.parse import quote, quote_plus
from uuid import UUID

from sqlalchemy import ColumnElement, Select, func, or_, select
from sqlalchemy.orm import Session

from models.alert import EmailRecipient
from models.lead import Lead
from models.user import User

Known = TypeVar("Known", Lead, User)

NOTHING = "a^"
"""A pattern that matches nothing."""
SHORTEST_WORD = 5
"""Characters: a shorter external id or word would be found in half of what everybody wrote."""
SHORTEST_NUMBER = 7
"""Digits that a telephone number must have to be looked for as one."""
_BETWEEN_DIGITS = "[ ./()-]{0,3}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """A person as this organization knows them."""

    lead_ids: tuple[UUID, ...] = ()
    user_ids: tuple[UUID, ...] = ()
    recipient_ids: tuple[UUID, ...] = ()
    words: tuple[str, ...] = ()
    """Addresses, full names, telephone numbers, ids in the tenant's own systems."""

    @property
    def words_pattern(self) -> str:
        """Match any of the words, in a regular expression of Postgres; ignore case."""
        return "|".join(_pattern(word) for word in self.words) or NOTHING

    @property
    def ids_pattern(self) -> str:
        """Match the ids of rows that will be gone; a user's stays, without a name: it keeps tokens out."""
        gone = (*self.lead_ids, *self.recipient_ids)
        return "|".join(map(str, gone)) or NOTHING

    @property
    def pattern(self) -> str:
        """Match whatever tells of the person."""
        return f"{self.words_pattern}|{self.ids_pattern}"

    @property
    def everywhere(self) -> str:
        """Match the person in whatever belongs to them, their own actions included."""
        return "|".join((self.pattern, *map(str, self.user_ids)))

    @property
    def visitors(self) -> list[str]:
        """Names under which analytics may count the person."""
        ids = map(str, (*self.lead_ids, *self.user_ids))
        return list(dict.fromkeys((*self.words, *(word.lower() for word in self.words), *ids)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """How a request names the person; one of the three, and words that only people know of."""

    lead_id: UUID | None = None
    user_id: UUID | None = None
    email: str | None = None
    also: tuple[str, ...] = ()

    def identify(self, session: Session) -> Person:
        """Find the person's rows, deleted ones included, and by what else they are known."""
        leads = _rows(session, Lead, self.lead_id, self.email)
        users = _rows(session, User, self.user_id, self.email)
        emails = {lead.email_norm for lead in leads if lead.email_norm} | {user.email_norm for user in users}
        if self.email is not None:
            emails.add(self.email.strip().lower())
        recipients = select(EmailRecipient).where(EmailRecipient.email_norm.in_(emails))
        return Person(
            lead_ids=tuple(lead.id for lead in leads),
            user_ids=tuple(user.id for user in users),
            recipient_ids=tuple(row.id for row in session.scalars(_with_deleted(recipients))),
            words=tuple(sorted({*emails, *_words_of(leads, users), *self.also})),
        )


def _with_deleted(statement: Select[Any]) -> Select[Any]:
    return statement.execution_options(include_deleted=True)


def _rows(session: Session, table: type[Known], identity: UUID | None, email: str | None) -> Sequence[Known]:
    wanted: list[ColumnElement[bool]] = []
    if identity is not None:
        wanted.append(table.id == identity)
    if email is not None:
        address = email.strip().lower()
        wanted += [table.email_norm == address, func.lower(table.email) == address]
    return session.scalars(_with_deleted(select(table).where(or_(*wanted)))).all() if wanted else []


def _words_of(leads: Iterable[Lead], users: Iterable[User]) -> set[str]:
    words: set[str] = set()
    for lead in leads:
        names = f"{lead.first_name or ''} {lead.last_name or ''}".strip()
        words |= {word for word in (lead.email, lead.phone, lead.external_id) if word}
        words |= {names} if " " in names else set()
    for user in users:
        words |= {user.email} | ({user.name} if user.name and " " in user.name else set())
    return {word for word in words if len(word) >= SHORTEST_WORD}


def _pattern(word: str) -> str:
    """Match the word by itself, as it is or as JSON, HTML and addresses write it; a number however set."""
    digits = re.sub(r"\D", "", word)
    if len(digits) >= SHORTEST_NUMBER and re.fullmatch(r"[+\d ./()-]+", word):
        return f"(?<![0-9])[+]?{_BETWEEN_DIGITS.join(digits)}(?![0-9])"
    spellings = (
        word,
        json.dumps(word)[1:-1],
        json.dumps(word, ensure_ascii=False)[1:-1],
        escape(word),
        quote(word),
        quote_plus(word),
    )
    listed = "|".join(map(_literal, dict.fromkeys(spellings)))
    return f"(?<![[:alnum:]])(?:{listed})(?![[:alnum:]])"


def _literal(text: str) -> str:
    return "".join(character if character.isalnum() else f"\\{character}" for character in text)
