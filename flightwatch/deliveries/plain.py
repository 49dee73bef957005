"""Text from feeds, made harmless before any channel lays it out: callsigns are sent by strangers."""

from __future__ import annotations

import unicodedata

LONGEST = 2_000


def clean(text: str) -> str:
    """One line without control characters, direction marks or other invisible ones, cut at a length that no message
    needs."""
    kept = "".join(" " if c in "\n\r\t" else c for c in text if c in "\n\r\t" or unicodedata.category(c)[0] != "C")
    return " ".join(kept.split())[:LONGEST]
