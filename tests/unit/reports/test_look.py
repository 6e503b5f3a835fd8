"""Colours stay legible, charts stay within their frame, texts stay on their line."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import ValidationError

from tasks.branding import LARGEST_LOGO, Branding
from tasks.reporting.chart import HEIGHT, WIDTH, sparkline
from tasks.reporting.colour import LEGIBLE, OURS, VISIBLE, WHITE, contrast, palette_of
from tasks.reporting.text import NOTHING, difference, meter_name, shown
from tasks.text import clean

PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


@given(st.binary(min_size=3, max_size=3))
def test_whatever_colour_is_chosen_text_and_lines_can_be_seen(channels: bytes) -> None:
    palette = palette_of(f"#{channels.hex()}")
    assert contrast(palette.on_accent, palette.accent) >= LEGIBLE
    assert contrast(palette.ink, WHITE) >= VISIBLE


def test_contrast_is_that_of_the_standard() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.005)
    assert palette_of(None).accent == OURS


@pytest.mark.parametrize(
    "colour", ["red", "#12345", "#1234567", "#12345g", "#123456;}", "url(x)", "#١٢٣٤٥٦", "#123456\n"]
)
def test_a_colour_that_is_none_is_refused(colour: str) -> None:
    with pytest.raises(ValidationError, match="must be a colour"):
        Branding(colour=colour)


@pytest.mark.parametrize("logo", ["!", "PHN2Zy8+", "R0lGODlhAQABAA==", "A" * LARGEST_LOGO * 2])
def test_only_small_png_and_jpeg_pictures_are_logos(logo: str) -> None:
    with pytest.raises(ValidationError, match="must be"):
        Branding(logo=logo)


def test_a_logo_becomes_a_data_uri() -> None:
    assert str(Branding(logo=PNG).logo_uri).startswith("data:image/png;base64,iVBOR")
    with pytest.raises(ValidationError, match="logo_text needs a logo"):
        Branding(logo_text="Acme")


@given(st.lists(st.none() | st.floats(-1e9, 1e9), max_size=10))
@example([2e-311])
def test_a_chart_stays_within_its_frame(values: list[float | None]) -> None:
    chart = sparkline(values)
    points = [tuple(map(float, p.split(","))) for line in (*chart.lines, *chart.areas) for p in line.split()]
    for x, y in [*points, *chart.dots]:
        assert 0 <= x <= WIDTH
        assert 0 <= y <= HEIGHT
    drawn = sum(len(line.split()) for line in chart.lines) + len(chart.dots)
    assert drawn == sum(value is not None for value in values)


def test_a_week_without_a_value_breaks_the_line() -> None:
    chart = sparkline([1, 2, None, 3, 4, None, 5, None])
    assert (len(chart.lines), len(chart.dots), chart.last) == (2, 1, None)


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("invoice\u202efdp.exe", "invoice fdp.exe"),
        ("a\u2066b\u2069c", "a b c"),
        ("one\r\ntwo\tthree\x00", "one two three"),
        ("👩🏽‍🍳", "👩🏽‍🍳"),
        ("שלום", "שלום"),
    ],
)
def test_marks_that_turn_what_follows_are_taken_out_and_emoji_stay_whole(text: str, cleaned: str) -> None:
    assert clean(text) == cleaned


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (None, "count", NOTHING),
        (1234, "count", "1,234"),
        (7.7, "count", "7.7"),
        (0.934, "share", "93.4 %"),
        (59.94, "seconds", "59.9 s"),
        (90, "seconds", "1.5 min"),
        (5400, "seconds", "1.5 h"),
        (1234.5, "value", "1,234.50"),
        ("needs_reauth\u202e", "state", "needs_reauth"),
    ],
)
def test_numbers_are_written_as_people_read_them(value: object, unit: str, text: str) -> None:
    assert shown(value, unit) == text


def test_a_share_changes_by_points() -> None:
    assert difference(-0.014, "share") == "-1.4 points"
    assert difference(-40, "count") == "-40"
    assert meter_name("leads_scored_month") == "Leads scored a month"
