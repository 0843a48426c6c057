from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from soc.errors import RuleError
from soc.rules.documents import Document, read


def test_documents_know_their_lines() -> None:
    """The line of each key, also of a second document and below it."""
    first, second = read("x.yml", b"# note\ntitle: a\n--- # next\n\ntitle: b\ndetection:\n  sel:\n    f|re: x\n")
    assert isinstance(first, Document)
    assert isinstance(second, Document)
    assert (first.line_of("title"), second.line_of("title")) == (2, 5)
    assert second.line_of("detection", "sel", "f|re") == 8
    assert second.line_of("detection", "nothing") == 6
    assert second.data["title"] == "b"


def test_a_document_marker_inside_a_text_is_text() -> None:
    """Only `---` at the start of a line followed by space or line end parts documents."""
    (document,) = read("x.yml", b"title: a\ntext: |\n    ---\n    b\ndash: ----\n")
    assert isinstance(document, Document)
    assert document.data == {"title": "a", "text": "---\nb\n", "dash": "----"}


def test_windows_line_ends_and_byte_order_marks() -> None:
    """Files of Windows editors are read."""
    (document,) = read("x.yml", "\ufefftitle: a\r\nb: c\r\n".encode())
    assert isinstance(document, Document)
    assert document.data == {"title": "a", "b": "c"}


def test_empty_pieces_are_no_documents() -> None:
    """Comments and blank lines between markers are nothing."""
    assert list(read("x.yml", b"---\n# only a note\n---\n\n")) == []


@settings(max_examples=300, deadline=None)
@given(st.text("ab:-[]{}&*!|>'\"\n\t #?%@,<~\0\x85é", max_size=60) | st.binary(max_size=40))
def test_whatever_stands_in_a_file_ends_as_document_or_error(content: str | bytes) -> None:
    """Nothing else comes out, and every error has a line."""
    for item in read("x.yml", content if isinstance(content, bytes) else content.encode()):
        assert isinstance(item, (Document, RuleError))
        if isinstance(item, RuleError):
            assert item.line >= 1
