"""What every store promises (`soc.ports.Store`): one query gives the same ids in the same order everywhere."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from soc.adapters.memory import MemoryStore
from soc.clock import FrozenClock, from_datetime
from soc.errors import Conflict
from soc.model.event import Event, values
from soc.model.query import All, And, Cidr, Exists, Node, Not, Or, Range, Term, Text
from soc.model.text import tokens_of, vi_fold
from soc.ports import Bucket, EventQuery, Store
from tests.contracts.conftest import STORES, Rig, make_rig
from tests.contracts.samples import DAY, HOUR, SECOND, T0, batch, event, seed, varied


def found(store: Store, where: Node, **rest: Any) -> list[int]:
    """The positions of the events that a query finds, in order."""
    return [doc["soc.seq"] for doc in store.search(EventQuery(where, **rest)).docs]


# --- single meanings, on a few events ------------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=STORES)
def few(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """A store with one event per meaning; positions ascend with time, so results come back descending."""
    rig = make_rig(request.param, tmp_path_factory.mktemp("few"), request)
    store = rig.open()
    store.commit(
        batch(
            event(0, source__ip="10.0.0.1", destination__port=443, event__action="deny", soc__blocked=True),
            event(1, source__ip="10.0.0.200", destination__port=80, event__action="Deny", user__name="Đặng Văn A"),
            event(2, source__ip="10.0.1.1", destination__port=3389, user__name="dang van a", network__bytes=10_000_000_000),
            event(3, source__ip="2001:db8::1", user__name=unicodedata.normalize("NFD", "ĐẶNG VĂN A"), event__risk_score=7.5),
            event(4, source__ip="2001:db9::1", email__subject="Hoá đơn điện tử: xem ngay", email__to__address=["A@x.vn", "b@y.vn"]),
            event(5, email__subject="hoa don [khẩn] điện tử", email__to__address=["b@y.vn"], message="mail.evil.com looked odd"),
            event(6, email__subject="", fortinet__firewall__vd="Root", fortinet__firewall__crscore="30", unheard__of="Ví dụ"),
            event(7, event__start="2026-11-20T01:00:00.000001Z", process__command_line="c:\\Temp\\a*b?.exe -x 'q'"),
        )
    )
    rig.settle()
    yield store
    rig.close()


@pytest.mark.parametrize(
    ("where", "seqs"),
    [
        (All(), [7, 6, 5, 4, 3, 2, 1, 0]),
        (Term("event.action", "DENY"), [1, 0]),
        (Term("event.action", "den"), []),
        (Term("destination.port", "443"), [0]),
        (Term("source.ip", "10.0.0.1"), [0]),
        (Term("source.ip", "2001:db8::1"), [3]),
        (Term("user.name", "dang van a"), [3, 2, 1]),
        (Term("user.name", "Đặng Văn A"), [3, 2, 1]),
        (Term("email.to.address", "a@X.vn"), [4]),
        (Term("email.to.address", "b@y.vn"), [5, 4]),
        (Term("email.subject", ""), [6]),
        (Term("fortinet.firewall.vd", "root"), [6]),
        (Term("unheard.of", "vi du"), [6]),
        (Term("soc.blocked", "true"), [0]),
        (Term("event.action", "d*", wildcard=True), [1, 0]),
        (Term("event.action", "d?ny", wildcard=True), [1, 0]),
        (Term("event.action", "d?y", wildcard=True), []),
        (Term("email.subject", "*đơn*TỬ*", wildcard=True), [5, 4]),
        (Term("source.ip", "10.0.0.*", wildcard=True), [1, 0]),
        (Term("fortinet.firewall.vd", "r*t", wildcard=True), [6]),
        (Range("destination.port", "100", "3389"), [2, 0]),
        (Range("destination.port", "100", "3389", include_high=False), [0]),
        (Range("destination.port", None, "80"), [1]),
        (Range("network.bytes", "9999999999.5", None), [2]),
        (Range("event.risk_score", "7.4", "7.6"), [3]),
        (Range("fortinet.firewall.crscore", "4", "100"), [6]),
        (Range("source.ip", "10.0.0.100", "10.0.255.255"), [2, 1]),
        (Range("@timestamp", "2026-11-20T01:00:02Z", "2026-11-20T01:00:04Z", include_high=False), [3, 2]),
        (Range("event.start", "2026-11-20T01:00:00.000001Z", None), [7]),
        (Range("event.start", "2026-11-20T01:00:00.000001Z", None, include_low=False), []),
        (Cidr("source.ip", "10.0.0.0/24"), [1, 0]),
        (Cidr("source.ip", "10.0.0.0/23"), [2, 1, 0]),
        (Cidr("source.ip", "2001:db8::/32"), [3]),
        (Cidr("source.ip", "0.0.0.0/0"), [2, 1, 0]),
        (Cidr("source.ip", "::/0"), [4, 3]),
        (Exists("source.ip"), [4, 3, 2, 1, 0]),
        (Exists("email.subject"), [6, 5, 4]),
        (Exists("fortinet.firewall.vd"), [6]),
        (Exists("unheard.of"), [6]),
        (Not(Exists("source.ip")), [7, 6, 5]),
        (Not(Term("event.action", "deny")), [7, 6, 5, 4, 3, 2]),
        (And((Term("event.action", "deny"), Cidr("source.ip", "10.0.0.128/25"))), [1]),
        (Or((Term("destination.port", "80"), Exists("unheard.of"))), [6, 1]),
        (Text(("hoa", "don")), [5, 4]),
        (Text(("dang",)), [3, 2, 1]),
        (Text(("mail.evil.com",)), [5]),
        (Text(("evil",)), [5]),
        (Text(("hoa", "die"), prefix=True), [5, 4]),
        (Text(("die",)), []),
        (Text(("hoa", "don", "dien", "tu"), phrase="hoá đơn điện tử"), [4]),
        (Not(Text(("hoa",))), [7, 6, 3, 2, 1, 0]),
        (And(()), [7, 6, 5, 4, 3, 2, 1, 0]),
        (Or(()), []),
    ],
    ids=str,
)
def test_a_node_means_the_same_everywhere(few: Store, where: Node, seqs: list[int]) -> None:
    """Each node of the query tree finds exactly these events, newest first; count and stream agree."""
    assert found(few, where) == seqs
    assert few.count(EventQuery(where)) == len(seqs)
    assert [doc["soc.seq"] for doc in few.stream(EventQuery(where, limit=1))] == seqs
    assert found(few, where, descending=False) == seqs[::-1]


def test_times_bound_a_query(few: Store) -> None:
    """`since` is inclusive, `until` exclusive, to the microsecond."""
    assert found(few, All(), since_us=T0 + 2 * SECOND, until_us=T0 + 4 * SECOND) == [3, 2]
    assert found(few, All(), since_us=T0 + 2 * SECOND + 1, until_us=T0 + 4 * SECOND + 1) == [4, 3]
    assert few.count(EventQuery(All(), until_us=T0)) == 0


def test_facets_name_the_commonest_values(few: Store) -> None:
    """Values are as stored; equal counts come by value; `most` cuts; lists count each value."""
    query = EventQuery(All())
    assert few.facets(query, "email.to.address") == [("b@y.vn", 2), ("A@x.vn", 1)]
    assert few.facets(query, "event.action") == [("Deny", 1), ("deny", 1)]
    assert few.facets(query, "destination.port", 2) == [("3389", 1), ("443", 1)]
    assert few.facets(query, "soc.blocked") == [("true", 1)]
    assert few.facets(query, "fortinet.firewall.vd") == [("Root", 1)]
    assert few.facets(query, "unheard.of") == [("Ví dụ", 1)]
    assert few.facets(query, "no.such.field") == []


def test_documents_come_back_as_they_went_in(few: Store) -> None:
    """Types, lists, Unicode form and microseconds survive."""
    [doc] = few.search(EventQuery(Exists("event.risk_score"))).docs
    assert (doc["event.risk_score"], doc["user.name"]) == (7.5, unicodedata.normalize("NFD", "ĐẶNG VĂN A"))
    [doc] = few.search(EventQuery(Exists("soc.blocked"))).docs
    assert (doc["soc.blocked"], doc["destination.port"]) == (True, 443)
    [doc] = few.search(EventQuery(Exists("event.start"))).docs
    assert doc["event.start"] == "2026-11-20T01:00:00.000001Z"


def test_event_prefixes_are_unique_or_conflict(few: Store) -> None:
    """Ids and unique prefixes give the events in the order asked, unknown ones are left out, an ambiguous one is a conflict."""
    one, two = event(1).id, event(2).id
    assert [doc["soc.seq"] for doc in few.get_events([two[:10], "zzzz", one])] == [2, 1]
    with pytest.raises(Conflict):
        few.get_events([""])


# --- order, paging, figures ------------------------------------------------------------------------------------------------


def test_equal_milliseconds_are_ordered_by_id(store: Store, rig: Rig) -> None:
    """Times are compared in milliseconds, then ids, both ways alike."""
    events = [event(n, ts_us=T0 + n % 7 * 100) for n in range(20)]
    store.commit(batch(*events))
    rig.settle()
    expected = sorted(one.id for one in events)
    assert [doc["soc.id"] for doc in store.search(EventQuery(All(), descending=False)).docs] == expected
    assert [doc["soc.id"] for doc in store.search(EventQuery(All())).docs] == expected[::-1]


@pytest.mark.parametrize("descending", [True, False])
def test_paging_gives_each_event_once_while_new_ones_arrive(store: Store, rig: Rig, descending: bool) -> None:
    """Pages cover exactly the events that stood at the beginning, each once, whatever arrives meanwhile outside them."""
    store.commit(batch(*[event(n, ts_us=T0 + n // 4 * 1000, kind=("firewall", "mail")[n % 2]) for n in range(57)]))
    rig.settle()
    before = [doc["soc.id"] for doc in store.search(EventQuery(All(), limit=1000, descending=descending)).docs]
    seen: list[str] = []
    after, turn = "", 0
    while True:
        page = store.search(EventQuery(All(), limit=10, after=after, descending=descending))
        seen += [doc["soc.id"] for doc in page.docs]
        if not page.next:
            break
        after, turn = page.next, turn + 1
        position = 57 + turn
        store.commit(batch(event(position, ts_us=T0 + DAY if descending else T0 - DAY)))
        rig.settle()
    assert seen == before
    assert turn == 5


def test_a_full_last_page_has_no_next(store: Store, rig: Rig) -> None:
    """`next` is empty exactly when nothing follows."""
    store.commit(batch(*[event(n) for n in range(10)]))
    rig.settle()
    assert store.search(EventQuery(All(), limit=10)).next == ""
    page = store.search(EventQuery(All(), limit=9))
    assert page.next
    assert len(store.search(EventQuery(All(), limit=9, after=page.next)).docs) == 1


def test_scopes_never_mix(store: Store, rig: Rig) -> None:
    """Every way of asking means the real scope unless another is named."""
    store.commit(batch(event(0, event__action="deny"), event(1, scope="exercise:x", event__action="deny"), event(2, scope="exercise:y", event__action="deny")))
    rig.settle()
    for scope, expected in (("real", 1), ("exercise:x", 1), ("exercise:none", 0), (None, 3)):
        query = EventQuery(Term("event.action", "deny"), scope=scope)
        assert store.count(query) == expected
        assert len(list(store.stream(query))) == expected
        assert sum(bucket.count for bucket in store.histogram(query, "day")) == expected
        assert sum(count for _, count in store.facets(query, "event.action")) == expected
    assert store.count(EventQuery(All())) == 1


def test_histograms_follow_the_zone(store: Store, rig: Rig) -> None:
    """Hours, days and months begin in the zone asked for; buckets are by time, then value; empty ones are left out."""
    moments = ["2026-10-31T16:59:59.999Z", "2026-10-31T17:00:00Z", "2026-11-19T16:30:00Z", "2026-11-19T17:00:00Z", "2026-11-19T17:59:00Z"]
    store.commit(
        batch(
            *[event(n, ts_us=from_datetime(datetime.fromisoformat(text)), event__action=("b", "a")[n % 2]) for n, text in enumerate(moments)],
            event(5, ts_us=T0),
        )
    )
    rig.settle()
    query = EventQuery(All())
    local = "Asia/Ho_Chi_Minh"
    assert store.histogram(query, "month", tz=local) == [Bucket("2026-09-30T17:00:00.000Z", "", 1), Bucket("2026-10-31T17:00:00.000Z", "", 5)]
    assert store.histogram(query, "month") == [Bucket("2026-10-01T00:00:00.000Z", "", 2), Bucket("2026-11-01T00:00:00.000Z", "", 4)]
    assert store.histogram(query, "day", tz=local)[-1] == Bucket("2026-11-19T17:00:00.000Z", "", 3)
    assert store.histogram(query, "hour", "event.action", tz=local)[-3:] == [
        Bucket("2026-11-19T17:00:00.000Z", "a", 1),
        Bucket("2026-11-19T17:00:00.000Z", "b", 1),
        Bucket("2026-11-20T01:00:00.000Z", "", 1),
    ]
    kathmandu = store.histogram(query, "hour", tz="Asia/Kathmandu")
    assert kathmandu[0].at == "2026-10-31T16:15:00.000Z"
    assert sum(bucket.count for bucket in kathmandu) == 6


# --- three hundred varied events against the oracle ---------------------------------------------------------------------


@pytest.fixture(scope="module", params=STORES)
def seeded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """A store with the varied events."""
    rig = make_rig(request.param, tmp_path_factory.mktemp("seeded"), request)
    store = rig.open()
    for effects in seed(VARIED):
        store.commit(effects)
    rig.settle()
    yield store
    rig.close()


VARIED: list[Event] = varied()


@pytest.fixture(scope="module")
def oracle() -> MemoryStore:
    """The same events in the memory store."""
    store = MemoryStore(clock=FrozenClock(T0))
    for effects in seed(VARIED):
        store.commit(effects)
    return store


FIELDS = [*sorted({field for one in VARIED for field in one.doc} - {"soc.raw_hash", "soc.partition"}), "no.such.field"]
_BY_FIELD = {field: sorted({str(item) for one in VARIED for item in values(one.doc, field)}) or ["x"] for field in FIELDS}
_TOKENS = sorted({token for one in VARIED[:60] for token in one.tokens.split(" ")})


@st.composite
def terms(draw: st.DrawFn) -> Node:
    """A term: a real value, sometimes with other case or accents, or a wildcard cut out of one."""
    field = draw(st.sampled_from(FIELDS))
    value = draw(st.sampled_from(_BY_FIELD[field]))[:200]
    how = draw(st.sampled_from(["as is", "upper", "folded", "nfd", "wild", "wild", "inner", "any"]))
    if how == "wild":
        cut = draw(st.integers(0, len(value)))
        return Term(field, draw(st.sampled_from([value[:cut] + "*", "*" + value[cut:], value[:cut] + "?" + value[cut + 1 :]])), wildcard=True)
    if how == "inner":
        return Term(field, "*" + value[len(value) // 3 : 2 * len(value) // 3] + "*", wildcard=True)
    changes = {"upper": value.upper(), "folded": vi_fold(value), "nfd": unicodedata.normalize("NFD", value), "any": draw(st.text(max_size=5))}
    return Term(field, changes.get(how, value))


@st.composite
def ranges(draw: st.DrawFn) -> Node:
    """A range between two real values, in either order, open on a side at times."""
    field = draw(st.sampled_from(FIELDS))
    low, high = draw(st.sampled_from([None, *_BY_FIELD[field]])), draw(st.sampled_from([None, *_BY_FIELD[field]]))
    return Range(field, low and low[:100], high and high[:100], draw(st.booleans()), draw(st.booleans()))


@st.composite
def texts(draw: st.DrawFn) -> Node:
    """Free text: tokens, a prefix, or a phrase of two values."""
    if draw(st.booleans()):
        subject = draw(st.sampled_from(_BY_FIELD["email.subject"]))
        words = subject.split()[: draw(st.integers(1, 3))]
        tokens = tuple(sorted(tokens_of(" ".join(words))))
        return Text(tokens, phrase=" ".join(words)) if tokens else All()
    tokens = tuple(draw(st.lists(st.sampled_from(_TOKENS), min_size=1, max_size=2)))
    if draw(st.booleans()):
        return Text((*tokens[:-1], tokens[-1][: draw(st.integers(1, 4))]), prefix=True)
    return Text(tokens)


_NETWORKS = ["10.0.0.0/8", "10.0.0.0/30", "10.0.0.1/32", "0.0.0.0/0", "192.168.0.0/16", "2001:db8::/32", "2001:db8::/127", "::/0", "::ffff:0:0/96", "fe80::/10"]
_LEAVES = st.one_of(
    terms(),
    ranges(),
    texts(),
    st.builds(Exists, st.sampled_from(FIELDS)),
    st.builds(Cidr, st.sampled_from(["source.ip", "destination.ip", "observer.name"]), st.sampled_from(_NETWORKS)),
    st.just(All()),
)
NODES = st.recursive(
    _LEAVES,
    lambda inner: st.one_of(
        st.builds(Not, inner), st.builds(And, st.lists(inner, max_size=3).map(tuple)), st.builds(Or, st.lists(inner, max_size=3).map(tuple))
    ),
    max_leaves=6,
)
QUERIES = st.builds(
    EventQuery,
    NODES,
    scope=st.sampled_from(["real", "exercise:dt-2026", None]),
    since_us=st.sampled_from([None, T0 - 30 * DAY, T0 + 5 * HOUR + 1]),
    until_us=st.sampled_from([None, T0 + 20 * HOUR, T0 + 1_777_777_777]),
    descending=st.booleans(),
    limit=st.sampled_from([1, 7, 1000]),
)
_PATIENT = settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])


@given(query=QUERIES)
@_PATIENT
def test_any_query_finds_the_same_everywhere(seeded: Store, oracle: MemoryStore, query: EventQuery) -> None:
    """Page, cursor, count and threats equal those of the oracle."""
    page, expected = seeded.search(query), oracle.search(query)
    assert (page.docs, bool(page.next)) == (expected.docs, bool(expected.next))
    assert seeded.count(query) == oracle.count(query)
    assert seeded.threats(query) == oracle.threats(query)


@given(query=QUERIES, field=st.sampled_from(FIELDS), most=st.sampled_from([1, 3, 1000]))
@_PATIENT
def test_any_facet_is_the_same_everywhere(seeded: Store, oracle: MemoryStore, query: EventQuery, field: str, most: int) -> None:
    """Facets equal those of the oracle, ties included."""
    assert seeded.facets(query, field, most) == oracle.facets(query, field, most)


@given(
    query=QUERIES,
    interval=st.sampled_from(["hour", "day", "month"]),
    by=st.sampled_from(["", *FIELDS]),
    tz=st.sampled_from(["UTC", "Asia/Ho_Chi_Minh", "Europe/Paris"]),
)
@_PATIENT
def test_any_histogram_is_the_same_everywhere(seeded: Store, oracle: MemoryStore, query: EventQuery, interval: Any, by: str, tz: str) -> None:
    """Histograms equal those of the oracle, in any zone, by any field."""
    assert seeded.histogram(query, interval, by, tz) == oracle.histogram(query, interval, by, tz)


@given(query=QUERIES)
@_PATIENT
def test_pages_together_are_the_stream(seeded: Store, query: EventQuery) -> None:
    """Following `next` to the end gives what `stream` gives."""
    query.limit = 40
    streamed = [doc["soc.id"] for doc in seeded.stream(query)]
    paged: list[str] = []
    while True:
        page = seeded.search(query)
        paged += [doc["soc.id"] for doc in page.docs]
        if not page.next:
            break
        query.after = page.next
    assert paged == streamed


def test_the_varied_events_stand_in_the_store(seeded: Store) -> None:
    """Every document comes back as it was given, and the ledger balances."""
    assert sorted(doc["soc.id"] for doc in seeded.stream(EventQuery(All(), scope=None))) == sorted(one.id for one in VARIED)
    by_id = {one.id: one.doc for one in VARIED}
    for doc in seeded.stream(EventQuery(All(), scope=None)):
        assert doc == by_id[doc["soc.id"]]
    assert [(item.received, item.stored, item.difference) for item in seeded.ledger()] == [(100, 100, 0)] * 3
