"""Colours that stay legible whatever a tenant chooses.

Source: Web Content Accessibility Guidelines 2.1, relative luminance and contrast ratio.
"""

from dataclasses import dataclass

OURS = "#1f4fd8"
WHITE, BLACK = "#ffffff", "#000000"
"""Of these two one is legible on any colour; a softer black is not."""
LEGIBLE, VISIBLE = 4.5, 3.0
"""Least contrast of text, and of the lines of a chart."""


@dataclass(frozen=True, slots=True)
class Palette:
    accent: str
    on_accent: str
    """Text upon the accent."""
    ink: str
    """The accent, dark enough for lines on white."""


def palette_of(colour: str | None) -> Palette:
    """Return the palette that goes with *colour*, ours without one."""
    accent = colour or OURS
    on_accent = max((WHITE, BLACK), key=lambda text: contrast(text, accent))
    ink = _channels(accent)
    while contrast(_hex(ink), WHITE) < VISIBLE:
        ink = tuple(int(channel * 0.9) for channel in ink)
    return Palette(accent, on_accent, _hex(ink))


def contrast(one: str, other: str) -> float:
    """Return the contrast ratio of two colours, 1 to 21."""
    dark, light = sorted((_luminance(one), _luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def _luminance(colour: str) -> float:
    linear = [
        channel / 255 / 12.92 if channel <= 10 else ((channel / 255 + 0.055) / 1.055) ** 2.4  # noqa: PLR2004 - the standard's numbers
        for channel in _channels(colour)
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _channels(colour: str) -> tuple[int, ...]:
    return tuple(bytes.fromhex(colour.removeprefix("#")))


def _hex(channels: tuple[int, ...]) -> str:
    return "#" + bytes(channels).hex()
