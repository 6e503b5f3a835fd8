"""How an organization wants to look, in reports and elsewhere; kept under one key of its settings."""

import base64
import binascii
import re
from typing import Annotated, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from tasks.payloads import Text

SETTING = "report_branding"
FEATURE = "advanced_analytics"
"""Plan feature that it needs."""

LARGEST_LOGO = 32 * 1024
"""Bytes; it is part of every report."""

_KINDS = {b"\x89PNG\r\n\x1a\n": "image/png", b"\xff\xd8\xff": "image/jpeg"}
"""First bytes of what is taken. No SVG: it can carry scripts."""


def _picture(encoded: str) -> str:
    try:
        picture = base64.b64decode(encoded, validate=True)
    except binascii.Error:
        raise ValueError("must be base64") from None
    if len(picture) > LARGEST_LOGO:
        raise ValueError(f"must be a picture of at most {LARGEST_LOGO} bytes")
    if media_type_of(picture) is None:
        raise ValueError("must be a PNG or JPEG picture")
    return encoded


def media_type_of(picture: bytes) -> str | None:
    """Return the media type of a picture by its first bytes, or None."""
    return next((kind for begin, kind in _KINDS.items() if picture.startswith(begin)), None)


def _colour(text: str) -> str:
    if re.fullmatch(r"#[0-9a-fA-F]{6}", text) is None:
        raise ValueError("must be a colour, as in #1a73e8")
    return text.lower()


Colour = Annotated[str, AfterValidator(_colour)]


class Branding(BaseModel):
    """A name, colours and a logo; what is left out looks as it does for everyone."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    name: Annotated[Text, Field(min_length=1, max_length=100)] | None = None
    """Instead of the organization's."""
    colour: Colour | None = None
    accent: Colour | None = None
    """Of what shall stand out in clients; reports need one colour only."""
    logo: Annotated[str, Field(max_length=LARGEST_LOGO * 2), AfterValidator(_picture)] | None = None
    """A PNG or JPEG, in base64."""
    logo_text: Annotated[Text, Field(max_length=100)] | None = None
    """What the logo says, for those who cannot see it."""

    @model_validator(mode="after")
    def text_with_logo(self) -> Self:
        """Refuse a text without its picture."""
        if self.logo_text is not None and self.logo is None:
            raise ValueError("logo_text needs a logo")
        return self

    @property
    def logo_uri(self) -> str | None:
        """Return the logo as a data URI."""
        if self.logo is None:
            return None
        return f"data:{media_type_of(base64.b64decode(self.logo))};base64,{self.logo}"
