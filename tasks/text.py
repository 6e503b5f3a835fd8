"""Texts that tenants wrote, made safe to stand beside ours."""

import re

_UNSEEN = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufff9-\ufffb]")
"""Controls, and the marks that turn the direction of whatever text follows; joiners within emoji stay."""


def clean(text: str) -> str:
    """Return *text* on one line and without marks that could reorder what stands beside it."""
    return " ".join(_UNSEEN.sub(" ", text).split())
