"""Documents: what is written can be read back, and what the index cannot hold faithfully is marked."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from soc.adapters.elastic.document import body, read, type_of
from soc.adapters.elastic.templates import LONGEST_KEYWORD
from tests.contracts.samples import T0, event, varied

_NAMES = st.sampled_from(
    [
        "source.ip",
        "source.port",
        "user.name",
        "email.to.address",
        "fortinet.firewall.x",
        "unheard.of.it",
        "event.start",
        "event.risk_score",
        "tls.resumed",
        "message",
    ]
)
_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
_SCALARS = st.one_of(_TEXT, st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False, allow_infinity=False), st.booleans(), st.just("x" * 5000))
_DOCS = st.dictionaries(_NAMES, st.one_of(_SCALARS, st.lists(_SCALARS, max_size=3)))


@given(fields=_DOCS)
def test_a_document_reads_back_as_it_was(fields: dict[str, Any]) -> None:
    """Whatever stands in an event, the flat document read is the flat document written."""
    one = event(1)
    one.doc.update(fields)
    assert read(orjson.loads(body(one))) == one.doc


def test_varied_documents_read_back_as_they_were() -> None:
    """The same for the events of the contract suite."""
    for one in varied():
        assert read(orjson.loads(body(one))) == one.doc


@pytest.mark.parametrize(
    ("field", "value", "odd"),
    [
        ("source.ip", "10.0.0.1", False),
        ("source.ip", "2001:db8::1", False),
        ("source.ip", "2001:DB8::1", True),
        ("source.ip", "::ffff:10.0.0.1", True),
        ("source.ip", "fe80::1%eth0", True),
        ("source.ip", "no address", True),
        ("source.ip", ["10.0.0.1", "bad"], True),
        ("source.port", 443, False),
        ("source.port", "443", True),
        ("source.port", 443.0, True),
        ("source.port", 2**63, True),
        ("user.name", "Đặng", False),
        ("user.name", "x" * (LONGEST_KEYWORD + 1), True),
        ("user.name", 7, True),
        ("user.name", "\ufdfa" * 1000, True),
        ("tls.resumed", True, False),
        ("tls.resumed", "true", True),
        ("event.start", "2026-11-20T01:02:03.000001Z", False),
        ("event.start", "2026-11-20T01:02:03+07:00", True),
        ("event.start", "1969-12-31T00:00:00Z", True),
        ("event.start", "2026-13-20T01:02:03Z", True),
        ("fortinet.firewall.vd", "root", False),
        ("fortinet.firewall.vd", 7, True),
        ("unheard.of", "plain", False),
        ("unheard.of", 42, True),
        ("event.original", "x" * 100_000, False),
    ],
)
def test_what_the_index_cannot_hold_faithfully_is_marked(field: str, value: Any, odd: bool) -> None:
    """A field is odd exactly when an exact query on Elasticsearch could not be trusted for it."""
    one = event(1)
    one.doc[field] = value
    assert (field in orjson.loads(body(one))["store"].get("odd", [])) is odd


def test_bookkeeping_holds_time_text_and_folded_values() -> None:
    """Both times, the tokens, and folded values where Elasticsearch cannot fold."""
    store = orjson.loads(body(event(1, ts_us=T0 + 1234, user__name="Đặng A", unheard__of="Plain", counted=False)))["store"]
    assert (store["time"], store["us"], store["counted"]) == ((T0 + 1234) // 1000, T0 + 1234, False)
    assert store["folded"] == ["user.name\x1fdang a", "unheard.of\x1fplain"]
    assert store["extra"] == ["unheard.of"]
    assert "dang" in store["text"].split()


def test_types_follow_the_table() -> None:
    """Vendor fields are flattened below their prefix, patterns never reach Elasticsearch as field names, the rest is unmapped."""
    assert [type_of(field) for field in ("source.ip", "fortinet.firewall.x", "fortinet", "fortinet.*", "no.such", "@timestamp")] == [
        "ip",
        "flattened",
        "",
        "",
        "",
        "date_nanos",
    ]


def test_a_document_that_cannot_be_json_is_refused() -> None:
    """A lone surrogate or a huge integer is a fault of the document, told as TypeError."""
    for value in ("\udc80", 2**70):
        one = event(1)
        one.doc["unheard.of"] = value
        with pytest.raises(TypeError):
            body(one)
