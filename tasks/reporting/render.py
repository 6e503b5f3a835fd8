"""A report's document as a page and as a table; both are functions of their arguments alone."""

import csv
import hashlib
import io
from collections.abc import Iterator
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template

from tasks.branding import Branding
from tasks.reporting.chart import sparkline
from tasks.reporting.colour import palette_of
from tasks.reporting.document import Document, canonical
from tasks.reporting.text import difference, meter_name, shown, signed
from tasks.text import clean

FORMULA_BEGINS = ("=", "+", "-", "@", "\t", "\r", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""A spreadsheet takes a cell that begins so for a formula; the last four are their full-width twins."""

BYTE_ORDER_MARK = "\ufeff"
"""Without it spreadsheets read UTF-8 as something else, and names are not legible."""

COLUMNS = ("section", "item", "metric", "unit", "first_day", "last_day", "value")


def render_html(document: Document, branding: Branding) -> str:
    """Return the page: one file without script or any other resource."""
    return _template().render(
        document=document,
        branding=branding,
        name=branding.name or document["organization"]["name"],
        palette=palette_of(branding.colour),
        fingerprint=hashlib.sha256(canonical(document)).hexdigest()[:16],
    )


@cache
def _template() -> Template:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {
        "clean": clean,
        "shown": shown,
        "signed": signed,
        "difference": difference,
        "meter": meter_name,
        "day": _day,
    }
    environment.globals["sparkline"] = sparkline
    return environment.get_template("report.html.j2")


def _day(text: str) -> str:
    moment = date.fromisoformat(text)
    return f"{moment.day} {moment:%B %Y}"


def render_csv(document: Document) -> str:
    """Return one value a row, for a spreadsheet or a program."""
    written = io.StringIO(newline="")
    written.write(BYTE_ORDER_MARK)
    writer = csv.writer(written, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    for row in _rows(document):
        writer.writerow([_cell(value) for value in row])
    return written.getvalue()


def _cell(value: Any) -> Any:
    """Return what a spreadsheet shows as it is; numbers are no formulas, whatever their sign."""
    if not isinstance(value, str):
        return value
    text = clean(value)
    return f"'{text}" if value.startswith(FORMULA_BEGINS) or text.startswith(FORMULA_BEGINS) else text


def _rows(document: Document) -> Iterator[tuple[Any, ...]]:
    days = tuple(document["period"][name] for name in ("first_day", "last_day"))
    for group in document["groups"]:
        for metric in group["metrics"]:
            yield from _metric_rows(document, group["key"], metric)
    for quota in document["quota"]:
        for name in ("used", "limit"):
            yield ("quota", quota["meter"], name, "count", *days, quota[name])
    for section in ("accounts", "campaigns", "lead_sources"):
        yield from _item_rows(section, document[section], days)
    for advice in document["recommendations"]:
        for evidence in advice["evidence"]:
            label = f"{evidence['label']} ({evidence['comparison']} {evidence['threshold']})"
            yield ("recommendations", advice["title"], label, evidence["unit"], *days, evidence["value"])


def _item_rows(section: str, items: Any, days: tuple[str, ...]) -> Iterator[tuple[Any, ...]]:
    for item in items:
        for name, value in item.items():
            if name != "name":
                unit = "text" if isinstance(value, str) else "count"
                yield (section, item["name"], name, unit, *days, value)


def _metric_rows(document: Document, group: str, metric: Any) -> Iterator[tuple[Any, ...]]:
    spans = [document["period"], document["previous_period"]]
    for span, name in zip(spans, ("value", "previous"), strict=True):
        yield (
            group,
            "period",
            metric["key"],
            metric["unit"],
            span["first_day"],
            span["last_day"],
            metric[name],
        )
    for week, value in zip(document["weeks"], metric["weekly"], strict=True):
        yield (group, "week", metric["key"], metric["unit"], week["first_day"], week["last_day"], value)
