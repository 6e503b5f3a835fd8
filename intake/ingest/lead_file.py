"""Leads from a CSV file: read row by row, and refused by line and column."""

import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from intake.ingest.fields import LONGEST_NAME, LONGEST_VALUE, MOST_ATTRIBUTES
from intake.ingest.lead import LeadBody
from intake.problem import CellError, ProblemError
from intake.validation import refuse

OURS = "genius_"
"""Begins the names of columns that an export adds and an import leaves alone."""

RISKY = ("=", "+", "-", "@", "\t", "\r", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""A cell that begins so is a formula to a spreadsheet; the last four are their full-width twins.

Source: OWASP, "CSV Injection".
"""

GUARD = "'"
"""What an export writes before such a cell, and an import takes away again."""

MOST_ERRORS = 100
ATTRIBUTES = "attributes"
DELIMITERS = {"comma": ",", "semicolon": ";", "tab": "\t", "pipe": "|"}
BOOLEANS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}

Header = Annotated[str, Field(min_length=1, max_length=LONGEST_NAME)]


class FileFormat(BaseModel):
    """Which column holds which field: each parameter names a header, by default the field's own name.

    Every other column becomes an attribute by its header, except those to `ignore` and those that begin with
    `genius_`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    external_id: Header = "external_id"
    email: Header = "email"
    first_name: Header = "first_name"
    last_name: Header = "last_name"
    company: Header = "company"
    job_title: Header = "job_title"
    phone: Header = "phone"
    source: Header = "source"
    status: Header = "status"
    campaign_id: Header = "campaign_id"
    converted: Annotated[Header, Field(description="true, yes or 1; false, no or 0.")] = "converted"
    converted_at: Header = "converted_at"
    attributes: Annotated[Header, Field(description="A JSON object of further attributes.")] = ATTRIBUTES
    ignore: Annotated[list[Header], Field(max_length=MOST_ATTRIBUTES)] = []
    empty: Annotated[
        list[str], Field(max_length=20, description="Texts that mean no value, beside the empty cell.")
    ] = []
    outcome_known: Annotated[
        bool, Field(description="Who has not converted is lost: the file tells how each lead ended.")
    ] = False
    delimiter: Literal["comma", "semicolon", "tab", "pipe"] = "comma"

    def fields(self) -> dict[str, str]:
        """Return header to field."""
        return {getattr(self, name): name for name in FIELDS}


FIELDS = tuple(name for name in FileFormat.model_fields if name in LeadBody.model_fields)


class FileRefusedError(ProblemError):
    """Something in the file is wrong; nothing of it was imported."""

    def __init__(self, errors: Sequence[CellError], *, more: bool = False) -> None:
        first = errors[0]
        where = f"line {first.line}" + (f", column {first.column!r}" if first.column else "")
        rest = f" (and {len(errors) - 1}{' or more' if more else ''} more)" if len(errors) > 1 else ""
        shown = [one.model_dump() for one in errors]
        super().__init__(
            422, "invalid-file", f"{where}: {first.message}{rest}", extra={"errors": shown, "imported": 0}
        )


@dataclass(slots=True)
class LeadFile:
    """Reads the leads of a file, and collects what is wrong with it."""

    file: Iterable[bytes]
    """Its lines."""
    format: FileFormat
    errors: list[CellError] = field(default_factory=list)
    columns: dict[str, str] = field(default_factory=dict)
    """Header to what becomes of the column: a field, `attribute` or `ignored`."""
    _seen: dict[str, int] = field(default_factory=dict)

    def batches(self, size: int) -> Iterator[list[LeadBody]]:
        """Yield the leads, *size* at a time, until the end or until something is wrong.

        Raises:
            FileRefusedError: After the whole file was looked at, or once there are too many errors.
        """
        batch: list[LeadBody] = []
        for lead in self._leads():
            batch.append(lead)
            if len(batch) == size and not self.errors:
                yield batch
                batch = []
            elif self.errors:
                batch.clear()
        if self.errors:
            raise FileRefusedError(self.errors)
        if batch:
            yield batch

    def _leads(self) -> Iterator[LeadBody]:
        rows = self._rows()
        first = next(rows, None)
        if first is None:
            if not self.errors:
                self._wrong(1, None, "the file is empty; its first line must name the columns")
            return
        header = first[1]
        if not self._understand(header):
            return
        for line, cells in rows:
            if not cells:
                continue  # an empty line
            if len(cells) != len(header):
                self._wrong(line, None, f"has {len(cells)} cells, and the header has {len(header)}")
                continue
            lead = self._lead(line, dict(zip(header, cells, strict=True)))
            if lead is not None:
                yield lead

    def _rows(self) -> Iterator[tuple[int, list[str]]]:
        """Yield each row with the line it begins at; a quoted cell may run over several."""
        reader = csv.reader(_decoded(self.file), delimiter=DELIMITERS[self.format.delimiter], strict=True)
        line = 1
        while True:
            try:
                row = next(reader, None)
            except csv.Error as error:
                self._wrong(line, None, f"cannot be read as CSV: {error}")
                return
            except UnicodeDecodeError:
                self._wrong(reader.line_num + 1, None, "is not UTF-8; save the file as CSV UTF-8")
                return
            if row is None:
                return
            yield line, row
            line = reader.line_num + 1

    def _understand(self, header: list[str]) -> bool:
        """Say what becomes of each column, or what is wrong with the header."""
        fields = self.format.fields()
        for place, name in enumerate(header, 1):
            if not 0 < len(name) <= LONGEST_NAME or "\x00" in name:
                self._wrong(1, name or None, f"header {place} must have 1 to {LONGEST_NAME} characters")
            elif name in self.columns:
                self._wrong(1, name, "two columns have this header")
            elif name in self.format.ignore or name.startswith(OURS):
                self.columns[name] = "ignored"
            else:
                self.columns[name] = fields.get(name, "attribute")
        wanted = {"external_id"} | (self.format.model_fields_set & set(FIELDS))
        for name in sorted(wanted):
            if getattr(self.format, name) not in header:
                self._wrong(1, None, f"there is no column {getattr(self.format, name)!r} for {name}")
        if list(self.columns.values()).count("attribute") > MOST_ATTRIBUTES:
            self._wrong(1, None, f"more than {MOST_ATTRIBUTES} columns would become attributes; ignore some")
        return not self.errors

    def _lead(self, line: int, cells: Mapping[str, str]) -> LeadBody | None:
        """Return the lead of a row, or None after saying what is wrong with it."""
        known = len(self.errors)
        values: dict[str, Any] = {}
        attributes: dict[str, Any] = {}
        for name, text in cells.items():
            what, value = self.columns[name], self._said(text)
            if what == "ignored" or value is None:
                continue
            try:
                if what == "attribute":
                    attributes[name] = _checked(value)
                else:
                    values[what] = _READ.get(what, _as_is)(value)
            except ValueError as error:
                self._wrong(line, name, str(error))
        if len(self.errors) > known:
            return None
        values[ATTRIBUTES] = values.get(ATTRIBUTES, {}) | attributes
        if self.format.outcome_known and "status" not in values:
            values["status"] = "converted" if values.get("converted") else "lost"
        return self._valid(line, values)

    def _valid(self, line: int, values: Mapping[str, Any]) -> LeadBody | None:
        try:
            lead = LeadBody.model_validate(values)
        except ValidationError as error:
            for one in refuse(error).errors:
                name = one.field.partition(".")[0]
                self._wrong(line, getattr(self.format, name, name), one.message)
            return None
        before = self._seen.setdefault(lead.external_id, line)
        if before != line:
            column = self.format.external_id
            self._wrong(line, column, f"the lead {lead.external_id!r} stands on line {before} already")
            return None
        return lead

    def _said(self, text: str) -> str | None:
        """Return what a cell says; None where it says nothing."""
        value = text.strip()
        if value.startswith(GUARD) and value[1:].startswith(RISKY):
            value = value[1:]
        return None if not value or value in self.format.empty else value

    def _wrong(self, line: int, column: str | None, message: str) -> None:
        self.errors.append(CellError(line=line, column=column, message=message))
        if len(self.errors) >= MOST_ERRORS:
            raise FileRefusedError(self.errors, more=True)


def _decoded(lines: Iterable[bytes]) -> Iterator[str]:
    """Yield each line as text: decoded one by one, so that a bad one can be named."""
    for number, line in enumerate(lines):
        yield line.decode("utf-8" if number else "utf-8-sig")


def _as_is(value: str) -> str:
    return value


def _checked(value: str) -> str:
    if "\x00" in value:
        raise ValueError("must not contain the NUL character")
    if len(value) > LONGEST_VALUE:
        raise ValueError(f"must not have more than {LONGEST_VALUE} characters")
    return value


def _truth(value: str) -> bool:
    try:
        return BOOLEANS[value.lower()]
    except KeyError:
        raise ValueError("must be true, yes or 1; or false, no or 0") from None


def _object(value: str) -> dict[str, Any]:
    try:
        found = orjson.loads(value)
    except orjson.JSONDecodeError:
        found = None
    if not isinstance(found, dict):  # also where it is no JSON at all
        raise ValueError(  # noqa: TRY004 - it is the cell's value that is wrong
            'must be a JSON object, as in {"city": "Pune"}'
        )
    return found


_READ = {"converted": _truth, ATTRIBUTES: _object, "status": str.lower}
