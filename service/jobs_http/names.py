"""File names that strangers chose, made fit to be names on this machine."""

from __future__ import annotations

import re
import unicodedata

LONGEST = 100  # characters; of four bytes each at most, so that suffixes of ours still fit
UNFIT = re.compile(r"[^\w.\- ]")
SUFFIX = re.compile(r"(\.\w{1,10}){0,2}$")


def safe_name(name: str) -> str:
    """The last part of a path, in letters, digits, spaces and .-_, not hidden; `file` where nothing is left."""
    last = unicodedata.normalize("NFC", re.split(r"[/\\]", name)[-1])
    plain = UNFIT.sub("_", last).strip(" ").lstrip(".")
    encoded = 0
    for i, character in enumerate(reversed(plain)):  # the end is kept: it says the format
        encoded += len(character.encode())
        if encoded > LONGEST:
            plain = plain[len(plain) - i :].lstrip(". ")
            break
    return plain or "file"


def stem_of(place: str) -> str:
    """The name of an input without its suffix, for the name of its result."""
    last = re.split(r"[?#]", place)[0] if "://" in place else place
    name = safe_name(last.rstrip("/"))
    for suffix in (".csv.gz", ".gz"):
        if name.lower().endswith(suffix):
            return name[: -len(suffix)] or "file"
    stem, dot, _ = name.rpartition(".")
    return stem if dot and stem else name
