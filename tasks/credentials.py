"""Brings every secret at rest under the current master key, so that the former one may go."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Column, Table, select, tuple_, update
from sqlalchemy.orm import Session

from models.registry import load_tables
from tasks.vault import Place, UndecryptableError, Vault

SUFFIX = "_encrypted"
SEALED_AS = {"previous_secret_encrypted": "secret_encrypted"}
"""Columns whose ciphertext was sealed for another one, and moved."""
SHORT_LIVED = frozenset({"social_authorizations"})
"""Rows live for minutes: they are gone before a key is."""
ROWS_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class Rotated:
    """What a round found."""

    changed: int = 0
    """Rows that were under a former key."""
    unreadable: int = 0
    """Rows whose key is unknown: their owners have to connect again."""

    def __add__(self, other: "Rotated") -> "Rotated":
        return Rotated(self.changed + other.changed, self.unreadable + other.unreadable)


def sealed_tables() -> dict[Table, list[Column[bytes]]]:
    """Return the tables with columns that hold ciphertexts of the vault."""
    found = {
        table: [column for column in table.columns if column.name.endswith(SUFFIX)]
        for table in load_tables().sorted_tables
        if table.name not in SHORT_LIVED
    }
    return {table: columns for table, columns in found.items() if columns}


def encrypt_anew(session: Session, vault: Vault) -> Rotated:
    """Re-encrypt every secret of the bound tenant; a row that somebody changes meanwhile is waited for."""
    return sum((_encrypt_table(session, vault, *item) for item in sealed_tables().items()), Rotated())


def _encrypt_table(session: Session, vault: Vault, table: Table, columns: list[Column[bytes]]) -> Rotated:
    done, key = Rotated(), (table.c.organization_id, table.c.id)
    query = select(*key, *columns).order_by(*key).limit(ROWS_AT_ONCE).with_for_update()
    rows = session.execute(query).all()
    while rows:
        for row in rows:
            done += _encrypt_row(session, vault, table, row._asdict())
        last = (rows[-1].organization_id, rows[-1].id)
        rows = session.execute(query.where(tuple_(*key) > last)).all()
    return done


def _encrypt_row(session: Session, vault: Vault, table: Table, row: dict[str, Any]) -> Rotated:
    organization_id, row_id = row.pop("organization_id"), row.pop("id")
    old = {name: sealed for name, sealed in row.items() if sealed and not vault.is_current(sealed)}
    if not old:
        return Rotated()
    fresh = {}
    try:
        for name, sealed in old.items():
            place = Place(organization_id, table.name, SEALED_AS.get(name, name), row_id)
            fresh[name] = vault.encrypt(vault.decrypt(sealed, place), place)
    except UndecryptableError:
        return Rotated(unreadable=1)
    session.execute(
        update(table).where(table.c.organization_id == organization_id, table.c.id == row_id).values(fresh)
    )
    return Rotated(changed=1)
