"""Flat inside, nested outside, and back."""

from __future__ import annotations

from typing import Any

import msgspec
import orjson
from hypothesis import given
from hypothesis import strategies as st

from soc.model import event
from soc.model.event import Event, flatten, nest, values

NAMES = st.lists(st.sampled_from(["source", "ip", "event", "a", "b-c", "d'e", 'f"g', "x{y}", "đ"]), min_size=1, max_size=4).map(".".join)
SCALARS = st.none() | st.booleans() | st.integers() | st.text(max_size=20)
DOCS = st.dictionaries(NAMES, SCALARS | st.lists(SCALARS, max_size=3), max_size=8)


def _no_prefixes(doc: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in doc.items() if not any(other.startswith(name + ".") for other in doc)}


@given(DOCS.map(_no_prefixes))
def test_flatten_undoes_nest(doc: dict[str, Any]) -> None:
    """A flat document comes back unchanged, whatever its names hold."""
    assert flatten(nest(doc)) == doc


def test_nest_puts_each_name_in_its_place() -> None:
    """Dots are levels."""
    assert nest({"source.ip": "10.0.0.1", "source.port": 1, "message": "m"}) == {"source": {"ip": "10.0.0.1", "port": 1}, "message": "m"}


def test_a_value_that_is_also_a_parent_gives_way() -> None:
    """A document against the rule loses the lesser value and raises nothing, in any order."""
    assert nest({"user": "x", "user.name": "y"}) == {"user": {"name": "y"}}
    assert nest({"user.name": "y", "user": "x"}) == {"user": {"name": "y"}}


def test_lists_of_objects_become_lists_per_name() -> None:
    """Attachments of a mail are searched by their fields."""
    assert flatten({"email": {"attachments": [{"file": {"name": "a"}}, {"file": {"name": "b"}}]}}) == {"email.attachments.file.name": ["a", "b"]}


def test_values_are_none_one_or_many() -> None:
    """Absent and null fields have no values."""
    assert [list(values({"a": None, "b": 1, "c": [1, 2]}, name)) for name in "abcd"] == [[], [1], [1, 2], []]


@given(DOCS)
def test_nesting_is_the_same_however_often_the_names_were_seen(doc: dict[str, Any]) -> None:
    """The plain way of the first documents and the generated one of later ones agree, prefixes and all."""
    first = nest(doc)
    assert all(nest(doc) == first for _ in range(10))


def test_names_that_ever_change_are_not_compiled() -> None:
    """A sender that invents keys must not make each of its documents cost a compilation."""
    before = set(event._SHAPES)
    for number in range(1000):
        nest({"message": "m", f"cef.extensions.k{number}": "1"})
    assert set(event._SHAPES) == before
    assert len(event._SEEN) <= event._MOST_SHAPES


def test_an_event_that_let_its_document_go_reads_it_from_its_bytes() -> None:
    """What was encoded is not kept twice, and says the same; another document takes the place of both."""
    doc = {"soc.id": "e1", "source.ip": "10.0.0.1", "soc.seq": 7}
    one = Event("e1", 0, "firewall", "fw", "p", 7, "h", "none", "", "real", doc, "")
    one.let_go()
    assert one.doc is doc  # there are no bytes to read it from
    one.body = orjson.dumps(doc)
    one.let_go()
    assert one.kept is None
    assert one.doc == doc
    other = one.with_doc({**one.doc, "soc.counted": False}, counted=False)
    assert (other.doc["soc.counted"], other.counted, other.body, other.seq) == (False, False, b"", 7)
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(one), type=Event).doc == doc
