"""Searches of the embedded store find exactly what `matches` says, in order, whatever the events and the query."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from soc.adapters.sqlite import SqliteStore, open_store
from soc.adapters.sqlite import search as searching
from soc.clock import FrozenClock
from soc.config import StoreSettings
from soc.model.event import Event
from soc.model.query import All, And, Cidr, Exists, Node, Not, Or, Range, Term, Text
from soc.model.query.evaluate import matches
from soc.ports import Effects, EventQuery, Progress
from tests.contracts.samples import DAY, HOUR, T0, event

_ADDRESSES = ["10.0.0.1", "10.0.0.12", "10.0.1.1", "::ffff:10.0.0.1", "::ffff:a00:1", "0:0:0:0:0:ffff:10.0.0.1", "2001:db8::1", "2001:DB8:0:0::1", "2001:db8:0:0:0:0:0:1", "::1", "0::1", "fe80::", "1:2:3:4:5:6:7:8", "010.0.0.1", "fe80::1%eth0"]  # fmt: skip
_TEXTS = ["deny", "Deny", "Đặng Văn A", "dang van a", "mail.evil.com", "evil", "Hoá đơn [gấp]", "10.0.0.", "10.0.0._", "-abc", "abc-", "true", "443", "443.0", "0443", "4.43e2", "x" * 200, "a:b@c", "日本", ""]  # fmt: skip
_FIELDS = ["source.ip", "user.name", "event.action", "fortinet.firewall.x", "destination.port", "event.start", "message"]
_values = st.one_of(st.sampled_from(_ADDRESSES), st.sampled_from(_TEXTS), st.sampled_from([443, 443.0, 0, -5, 10**16, 1e16, 1.5, True, False, 2**70]))
_field_values = st.one_of(_values, st.lists(_values, max_size=3))
_docs = st.dictionaries(st.sampled_from(_FIELDS), _field_values, max_size=4)
_classes = st.sampled_from([("none", ""), ("low", "policy"), ("high", "scan"), ("critical", "intrusion")])
_times = st.one_of(st.just(T0), st.integers(T0 - 40 * DAY, T0 + DAY), st.integers(T0, T0 + 3000))


@st.composite
def _events(draw: st.DrawFn) -> list[Event]:
    many = draw(
        st.lists(st.tuples(_docs, _classes, _times, st.sampled_from(["firewall", "mail"]), st.sampled_from(["real", "real", "exercise:x"])), max_size=25)
    )
    out = []
    for n, (doc, (level, category), ts_us, kind, scope) in enumerate(many):
        fields: dict[str, Any] = {name.replace(".", "__"): value for name, value in doc.items()}
        out.append(event(n, ts_us=ts_us, kind=kind, level=level, category=category, scope=scope, **fields))
    return out


def _wild(text: str, at: int) -> str:
    return text[: at % (len(text) + 1)] + "*"


_words = st.one_of(st.sampled_from(_ADDRESSES), st.sampled_from(_TEXTS), st.sampled_from(["1e+16", "10000000000000000", "1.50", "-5", "line", "42"]))
_leaves: st.SearchStrategy[Node] = st.one_of(
    st.just(All()),
    st.builds(Term, st.sampled_from(_FIELDS), _words),
    st.builds(lambda field, text, at: Term(field, _wild(text, at), wildcard=True), st.sampled_from(_FIELDS), _words, st.integers(0, 12)),
    st.builds(Term, st.just("soc.threat.level"), st.sampled_from(["none", "HIGH", "critical", "unknown"])),
    st.builds(Term, st.just("soc.threat.category"), st.sampled_from(["scan", "policy", ""])),
    st.builds(Term, st.just("soc.source"), st.sampled_from(["fw1", "FW1", "other"])),
    st.builds(Term, st.just("soc.kind"), st.sampled_from(["mail", "firewall", "dns"])),
    st.builds(Term, st.just("soc.id"), st.sampled_from([event(n).id for n in range(5)])),
    st.builds(Exists, st.sampled_from(_FIELDS)),
    st.builds(Cidr, st.sampled_from(_FIELDS), st.sampled_from(["10.0.0.0/24", "10.0.0.0/30", "10.0.0.1/32", "10.0.0.0/8", "0.0.0.0/0", "2001:db8::/32"])),
    st.builds(Range, st.sampled_from(_FIELDS), st.sampled_from([None, "0", "10.0.0.1", "a"]), st.sampled_from([None, "443", "10.0.0.200", "m"])),
    st.builds(lambda words, prefix: Text(tuple(words), prefix=prefix and bool(words)), st.lists(st.sampled_from(["deny", "dang", "evil", "mail", "10.0.0.1", "scan", "policy", "lin", "x" * 128]), max_size=2), st.booleans()),
    st.builds(lambda word: Text((word,), phrase=word), st.sampled_from(["dang", "evil", "abc"])),
)  # fmt: skip
_nodes = st.recursive(
    _leaves,
    lambda inner: st.one_of(
        st.builds(Not, inner),
        st.builds(lambda nodes: And(tuple(nodes)), st.lists(inner, min_size=1, max_size=3)),
        st.builds(lambda nodes: Or(tuple(nodes)), st.lists(inner, min_size=1, max_size=3)),
    ),
    max_leaves=5,
)
_bounds = st.one_of(st.none(), st.integers(T0 - 41 * DAY, T0 + 2 * DAY), st.sampled_from([T0, T0 + 1, T0 + 1000, T0 - HOUR, T0 - 11 * HOUR]))
_queries = st.builds(
    EventQuery,
    where=_nodes,
    scope=st.sampled_from(["real", None, "exercise:x"]),
    since_us=_bounds,
    until_us=_bounds,
    descending=st.booleans(),
    limit=st.integers(1, 7),
)


def opened(folder: Path, **chosen: Any) -> SqliteStore:
    """A store for the pipeline."""
    return open_store(StoreSettings(**chosen), folder / "store", pipeline=True, clock=FrozenClock(T0))


def stored(store: SqliteStore, events: list[Event], at_once: int = 7) -> None:
    """Store events in small batches."""
    for begin in range(0, len(events), at_once):
        part = events[begin : begin + at_once]
        store.commit(Effects([Progress("fw1", "fw/0", part[0].seq, part[-1].seq, part[-1].seq + 1, len(part))], part))


def fitting(events: list[Event], query: EventQuery) -> list[Event]:
    """What the query means."""
    found = [
        one
        for one in events
        if query.scope in {None, one.scope}
        and (query.since_us is None or one.ts_us >= query.since_us)
        and (query.until_us is None or one.ts_us < query.until_us)
        and matches(query.where, one.doc)
    ]
    return sorted(found, key=lambda one: (one.ts_us // 1000, one.id), reverse=query.descending)


def pages(store: SqliteStore, query: EventQuery) -> list[str]:
    """The ids of all pages."""
    ids: list[str] = []
    while True:
        page = store.search(query)
        ids += [doc["soc.id"] for doc in page.docs]
        if not page.next:
            return ids
        query.after = page.next


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(events=_events(), queries=st.lists(_queries, min_size=1, max_size=8))
def test_a_search_finds_what_the_query_means(tmp_path_factory: pytest.TempPathFactory, events: list[Event], queries: list[EventQuery]) -> None:
    """Ids and order of pages, stream, count, threats, histogram and facets are those of filtering by `matches`."""
    store = opened(tmp_path_factory.mktemp("s"))
    try:
        stored(store, events)
        for query in queries:
            wanted = fitting(events, query)
            ids = [one.id for one in wanted]
            assert [doc["soc.id"] for doc in store.stream(query)] == ids
            assert store.count(query) == len(ids)
            assert sum(store.threats(query).values()) == len(ids)
            assert sum(bar.count for bar in store.histogram(query, "day", "soc.threat.level", "Asia/Kathmandu")) == len(ids)
            assert dict(store.facets(query, "soc.kind")) == {kind: count for kind in ("firewall", "mail") if (count := sum(one.kind == kind for one in wanted))}
            assert pages(store, query) == ids
    finally:
        store.close()


def test_every_way_of_writing_a_value_is_found(tmp_path: Path) -> None:
    """Each value of the pool against each word of it, whole, cut to a prefix at every place, and as a network: as `matches` says."""
    pool = [
        *_ADDRESSES,
        *_TEXTS,
        "10.0.0.255",
        "::ffff:10.0.0.2",
        "2001:db8:0:1:0:0:0:1",
        "2001:db8:0:1::1",
        443,
        443.0,
        0,
        -5,
        10**16,
        1e16,
        1.5,
        2**70,
        True,
        False,
    ]
    events = [event(n, source__ip=value) for n, value in enumerate(pool)]
    store = opened(tmp_path)
    stored(store, events)
    words = [str(value).lower() if isinstance(value, bool) else str(value) for value in pool]
    nodes: list[Node] = [Term("source.ip", word) for word in words]
    nodes += [Term("source.ip", word[:at] + "*", wildcard=True) for word in words for at in range(min(len(word), 14) + 1)]
    nodes += [Cidr("source.ip", f"{word}/{bits}") for word in words if word.count(".") == 3 for bits in range(33)]
    nodes += [Cidr("source.ip", f"{word}/{bits}") for word in words if ":" in word for bits in (0, 32, 64, 96, 128)]
    for node in nodes:
        query = EventQuery(node, limit=1000)
        assert [doc["soc.id"] for doc in store.search(query).docs] == [one.id for one in fitting(events, query)], node
    store.close()


def test_many_hits_are_read_chunk_by_chunk_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Events that arrive out of order over many chunks come out in order, by text, by level and by time alike."""
    monkeypatch.setattr(searching, "FEW", 10)
    events = [event(n, ts_us=T0 + (n * 7919 % 5000) * 1000, level="low" if n % 3 else "none", event__action="deny" if n % 2 else "accept") for n in range(5000)]
    store = opened(tmp_path)
    stored(store, events, 1000)
    for where in (All(), Text(("deny",)), Term("event.action", "deny"), Term("soc.threat.level", "low"), Not(Term("soc.threat.level", "none"))):
        for descending in (True, False):
            query = EventQuery(where, descending=descending, since_us=T0 + 100_000, until_us=T0 + 4_900_000)
            assert [doc["soc.id"] for doc in store.stream(query)] == [one.id for one in fitting(events, query)]
    store.close()


def test_pages_cover_everything_once_while_events_arrive(tmp_path: Path) -> None:
    """What was there when the first page was read comes exactly once, whatever is stored between the pages."""
    events = [event(n, ts_us=T0 + n % 5 * 1000) for n in range(60)]
    late = [event(60 + n, ts_us=T0 + n % 9 * 1000) for n in range(60)]
    store = opened(tmp_path)
    stored(store, events)
    query, seen = EventQuery(All(), limit=7), []
    for n in range(1000):
        page = store.search(query)
        seen += [doc["soc.id"] for doc in page.docs]
        if not page.next:
            break
        query.after = page.next
        stored(store, late[n * 3 : n * 3 + 3])
    assert len(seen) == len(set(seen))
    assert {one.id for one in events} <= set(seen)
    store.close()


def test_files_are_cut_and_searched_together(tmp_path: Path) -> None:
    """A partition that is larger than a file goes on in the next, and is one partition to everybody."""
    events = [event(n, ts_us=T0 + n) for n in range(3500)]
    store = opened(tmp_path, events_per_file=1000)
    stored(store, events, 500)
    assert len(list((tmp_path / "store" / "events").glob("*.db"))) > 2
    assert pages(store, EventQuery(All(), limit=1000)) == [one.id for one in fitting(events, EventQuery(All()))]
    assert [part["events"] for part in store.status()["partitions"]] == [3500]
    assert store.ledger()[0].difference == 0
    store.close()


def test_an_event_with_too_many_words_is_still_found_by_its_fields(tmp_path: Path) -> None:
    """Beyond the bound on tokens the full text is cut, so field tests look at such events one by one."""
    long = " ".join(f"w{n}" for n in range(5000))
    store = opened(tmp_path)
    stored(store, [event(0, raw=long, user__name="bob"), event(1, user__name="bob")])
    assert store.count(EventQuery(Term("user.name", "bob"))) == 2
    store.close()
