"""List the names that a spool must refuse, and odd ones that it takes, whoever gives them."""

from __future__ import annotations

#: artifact name -> the words that say which rule it breaks
BAD_NAMES = {
    "": "is empty",
    "///": "is empty",
    "..": "contains '..'",
    "a/../b": "contains '..'",
    "/../b": "contains '..'",
    ".": "empty or '.' segment",
    "a/./b": "empty or '.' segment",
    "a//b": "empty or '.' segment",
    "a/": "empty or '.' segment",
    "a\nb": "control character",
    "a\x7fb": "control character",
    "a\x85b": "control character",
    "n" * 1025: "has 1025 bytes of UTF-8; at most 1024",
    "é" * 513: "has 1026 bytes of UTF-8; at most 1024",
    "a\udcffb": "not valid Unicode",
}

#: names that look odd and are fine
GOOD_NAMES = ("n" * 1024, "é" * 512, "...", "a/..b/c..", "-rf", "~", "a b", "*", "名前/\U0001f600")


def shown(name: str) -> str:
    """Return a short form of a name, for the id of a test."""
    return ascii(name)[1:-1][:16] or "empty"
