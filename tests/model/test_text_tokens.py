"""The tokens that free text finds events by."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from soc.model.text import MOST_TOKEN, MOST_TOKENS, event_tokens, events_tokens, runs_of, searched_fields, tokens_of, vi_fold

TEXTS = st.one_of(
    st.text(max_size=40),
    st.lists(
        st.sampled_from(
            ["mail.evil.com", "10.0.0.1", "Đăng", "a@b.vn", "x=1", "a@b.vn:25", "b.vn:25", "c:25", "fe80::1", "--", "A_B-c", "“q”", "½", "ﷺ", "\x00", "İ", "ΑΣ"]
        ),
        max_size=5,
    ).map(" ".join),
)
VALUES = st.one_of(TEXTS, st.integers(), st.booleans(), st.floats(allow_nan=False), st.none(), st.lists(TEXTS, max_size=3))
DOCS = st.dictionaries(st.sampled_from(["event.original", "a", "b.c", "soc.id", "soc.threat.category", "@timestamp", "source.port"]), VALUES)


@settings(max_examples=300, deadline=None)
@given(DOCS, TEXTS)
def test_every_searched_value_is_found_by_its_own_tokens(doc: dict[str, Any], line: str) -> None:
    """An event's tokens hold those of its line and of every value but times, measures and bookkeeping, and nothing else."""
    doc["event.original"] = line
    tokens = event_tokens(doc).split(" ") if event_tokens(doc) else []
    expected = tokens_of(line)
    for name in searched_fields(doc):
        for value in doc[name] if isinstance(doc[name], list) else [doc[name]]:
            if value is not None:
                expected |= tokens_of(("true" if value else "false") if isinstance(value, bool) else str(value))
    assert set(tokens) == expected
    assert not any(character.isspace() for token in tokens for character in token)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(VALUES, VALUES, VALUES, VALUES), min_size=1, max_size=4))
def test_fields_alone_give_the_same_words_whatever_stood_in_them_before(rows: list[tuple[Any, ...]]) -> None:
    """The quick way, which remembers what kind of value each field had first, finds the words of every kind of value."""
    for row in rows:
        doc = {"soc.text_from": "fields", **dict(zip(["a", "b.c", "d", "source.port"], row, strict=True))}
        values = [item for value in row for item in (value if isinstance(value, list) else [value]) if item is not None]
        expected = {token for value in values for token in tokens_of(("true" if value else "false") if isinstance(value, bool) else str(value))}
        assert set(event_tokens(doc).split()) == expected


NUMERALS = st.one_of(st.sampled_from(["10.0.0.1", "443", "007", "1.2", ".5", "5.", "", "1 2", "٣", "9" * 200]), TEXTS)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(NUMERALS, NUMERALS, st.lists(TEXTS, max_size=3), st.integers(-5, 2**70)), min_size=1, max_size=20), st.none() | VALUES)
def test_many_documents_have_the_words_that_each_has_by_itself(rows: list[tuple[Any, ...]], odd: object) -> None:
    """Documents of one shape, some with the same values, one perhaps with another kind of value: the words of each are its own."""
    fields = ["event.action", "source.ip", "event.category", "source.port"]
    docs: list[dict[str, Any]] = [{"soc.text_from": "fields", **dict(zip(fields, row, strict=True))} for row in rows * 20]
    docs += [{"event.original": row[0], "a": row[1]} for row in rows]
    docs[-1]["a"] = docs[len(rows)]["source.ip"] = odd
    for _ in range(2):  # a shape is known after the first time
        assert [set(tokens.split()) for tokens in events_tokens(docs)] == [set(event_tokens(doc).split()) for doc in docs]
    assert events_tokens([]) == []


@settings(max_examples=300, deadline=None)
@given(TEXTS)
def test_folding_twice_is_folding_once(text: str) -> None:
    """Folded text and tokens stay as they are, so a query for a token finds it."""
    assert vi_fold(vi_fold(text)) == vi_fold(text)
    for token in tokens_of(text):
        assert runs_of(token) == [token]


def test_parts_of_a_compound_are_found_and_its_numbers_are_not() -> None:
    """A host is found whole, without its port and by its words, an address only whole, a mail address also by its domain."""
    assert tokens_of("10.0.0.1:443 bob@b.vn 08:30 10:20:30") == {"10.0.0.1:443", "10.0.0.1", "bob@b.vn", "bob", "b.vn", "b", "vn", "08:30", "10:20:30"}
    assert tokens_of('<a href="http://Mail.Evil.com:8080/x">10.0.0.1, Đường.') == {
        "a",
        "href",
        "http",
        "mail.evil.com:8080",
        "mail.evil.com",
        "mail",
        "evil",
        "com",
        "x",
        "10.0.0.1",
        "duong",
    }


def test_hostile_lines_stay_within_bounds() -> None:
    """A long run is cut, and a line of countless words is indexed in part."""
    assert tokens_of("x" * 1_000_000) == {"x" * MOST_TOKEN}
    assert len(event_tokens({"event.original": " ".join(map(str, range(100_000)))}).split()) == MOST_TOKENS


def test_a_line_whose_fields_hold_all_of_it_is_not_tokenised_again() -> None:
    """Names of a key=value line are no words of the event; its values are."""
    doc = {"soc.text_from": "fields", "event.original": "srcip=10.0.0.1 act=Deny", "source.ip": "10.0.0.1", "event.action": "Deny", "source.bytes": 12}
    assert event_tokens(doc).split() == ["10.0.0.1", "deny"]


def test_times_and_bookkeeping_are_no_words_but_categories_are() -> None:
    """Only what people search as words is indexed."""
    doc = {"@timestamp": "2026-11-20T01:02:03.004Z", "soc.id": "abc", "soc.threat.category": "brute-force", "soc.mail.verdict": "spam", "event.original": ""}
    assert sorted(event_tokens(doc).split()) == ["brute", "brute-force", "force", "spam"]
