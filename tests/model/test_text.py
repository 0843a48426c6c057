"""What may be shown: nothing that steers a terminal, hides or reverses. What searches find stands in test_text_tokens.py."""

from __future__ import annotations

import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soc.model.text import display_safe

VISIBLE_FORMATS = frozenset("\u0600\u0601\u0602\u0603\u0604\u0605\u06dd\u070f\u0890\u0891\u08e2\U000110bd\U000110cd")
"""Format characters that are drawn: signs that span the digits after them."""


def test_no_character_that_steers_or_hides_is_shown() -> None:
    """Of all of Unicode: controls, format characters, line and paragraph separators and lone surrogates are written as escapes."""
    shown = [
        f"U+{code:04X}"
        for code in range(sys.maxunicode + 1)
        if unicodedata.category(char := chr(code)) in {"Cc", "Cf", "Cs", "Zl", "Zp"} and char not in VISIBLE_FORMATS and display_safe(char) == char
    ]
    assert shown == []


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Sở Y tế tỉnh Đồng Nai", "Sở Y tế tỉnh Đồng Nai"),
        ("Truo\u031bng", "Truơng"),
        ("\x1b]0;owned\x07", "\\x1b]0;owned\\x07"),
        ("invoice\u202efdp.exe", "invoice\\u202efdp.exe"),
        ("a\r\nb\tc", "a\\x0d\\x0ab\\x09c"),
        ("\x9b31m", "\\x9b31m"),
        ("zero\u200bwidth", "zero\\u200bwidth"),
        ("tag\U000e0041", "tag\\U000e0041"),
        ("\udcff", "\\udcff"),
    ],
)
def test_examples(text: str, shown: str) -> None:
    """Vietnamese stays as it is, composed; what acts is written out."""
    assert display_safe(text) == shown


@given(st.text(), st.integers(min_value=1, max_value=30))
def test_what_is_shown_is_harmless_short_and_encodable(text: str, most: int) -> None:
    """Showing twice changes nothing, a bound holds before escaping, and the result can be written to any UTF-8 stream."""
    shown = display_safe(text)
    assert display_safe(shown) == shown
    assert shown.encode().decode() == shown
    assert "\n" not in shown
    assert "\x1b" not in shown
    cut = display_safe("a" * most + text, most=most)
    assert cut.startswith("a" * (most - 1))
    assert len(cut) == most


def test_what_is_no_text_is_written_as_such() -> None:
    """Numbers and lists are shown as Python writes them, safely."""
    assert display_safe(5) == "5"
    assert "\x1b" not in display_safe(["\x1b[2J"])
