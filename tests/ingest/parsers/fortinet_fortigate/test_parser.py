"""FortiGate lines: the fast way equals the plain one, and what is told twice counts once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from soc.errors import MalformedRecord, UnknownFormat
from soc.ingest.framing import MOST_PAIRS, frame
from soc.ingest.normalize import HOUR_US, iso
from soc.ingest.parser import Context, Parsed
from soc.ingest.parsers.fortinet_fortigate import plan as plan_module
from soc.ingest.parsers.fortinet_fortigate.parser import FortiGate
from soc.ingest.parsers.fortinet_fortigate.plan import SEEN_OFTEN, pairs_of
from soc.model.text import TEXT_FROM, event_tokens

CONTEXT = Context(1_795_222_800_000_000, tokens=True)
SAMPLES = Path(plan_module.__file__).parent / "samples"
LINES = [line for sample in sorted(SAMPLES.glob("*.log")) for line in sample.read_text(encoding="utf-8").splitlines()]
TRAFFIC = (
    'date=2026-03-02 time=08:15:30 devname="fw" devid="FG1" eventtime=1772414130123456789 tz="+0700" logid="0000000013" type="traffic" subtype="forward" '
    'level="notice" vd="root" srcip=10.20.1.15 srcport=51544 dstip=203.0.113.80 dstport=443 sessionid=81 proto=6 action="close" policyid=12 sentbyte=923 rcvdbyte=77654'
)


def parse(text: str, parser: FortiGate | None = None, context: Context = CONTEXT) -> Parsed:
    """A framed and parsed line."""
    return (parser or FortiGate()).parse(frame(text), context)


def plainly(text: str) -> Parsed:
    """The same by the plain way: pair by pair."""
    line = frame(text)
    return FortiGate()._plain(pairs_of(line.message), line, CONTEXT)


@pytest.mark.parametrize("text", [line for line in LINES if "CEF:" not in line])
def test_the_fast_way_is_the_plain_way_for_samples(text: str) -> None:
    """First seen, seen often and by a pattern: the event is that of the plain way."""
    parser = FortiGate()
    expected = plainly(text)
    for _ in range(SEEN_OFTEN + 3):
        assert parse(text, parser) == expected


ODD = st.one_of(
    st.sampled_from(
        [
            "N/A",
            "",
            "(null)",
            "999.1.1.1",
            "70000",
            "-1",
            "1_000",
            "٣",
            "/a?b=c",
            "a=b",
            "x y",
            "a,b",
            'say \\"hi\\"',
            "C:\\\\temp",
            "\\",
            "\x00",
            "authid=",
            'a="b',
            '"',
            " b=c",
            "x=",
            '" x="',
        ]
    ),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=12),
)
GOOD = {
    "date": ["2026-03-02", "2016-06-16"],
    "time": ["08:15:30"],
    "tz": ["+0700", "-0500"],
    "eventtime": ["1772414130123456789", "1772414130"],
    "logid": ["0000000013", "0419016384"],
    "type": ["traffic", "utm", "event"],
    "subtype": ["forward", "ips", "vpn"],
    "action": ["deny", "accept", "login"],
    "status": ["success", "failed"],
    **{key: ["10.0.0.1", "2001:DB8::1"] for key in ("srcip", "dstip", "remip", "locip", "transip", "src", "dst", "ipaddr")},
    **{
        key: ["443", "0", "60000"]
        for key in ("srcport", "dstport", "transport", "sentbyte", "rcvdbyte", "sentpkt", "rcvdpkt", "duration", "policyid", "sessionid")
    },
    **{
        key: ["a", "b.c", "say hi", "N/A"]
        for key in ("devname", "devid", "vd", "user", "group", "service", "app", "appcat", "catdesc", "hostname", "msg", "weird.key", "SN", "cfgpath")
    },
    "proto": ["6", "17"],
    "ui": ["https(10.0.0.9)", "console"],
    "url": ["/a?b=c", "https://x/y"],
    "direction": ["outgoing", "up"],
    "srcmac": ["00:1b:44:11:3a:b7"],
    "analyticscksum": ["a" * 64],
    "from": ["a@b.vn", "Nguyễn A <a@b.vn>"],
    "to": ["a@b.vn, c@d.vn"],
    "pri": ["notice"],
}


@st.composite
def twins(draw: st.DrawFn) -> tuple[str, str]:
    """Two lines that differ in one value: what a plan or pattern of the first could get wrong in the second."""
    keys = draw(st.lists(st.sampled_from(sorted(GOOD)), min_size=2, max_size=14))
    values = [draw(st.sampled_from(GOOD[key])) for key in keys]
    quoted = [draw(st.booleans()) or " " in value for value in values]
    other = list(values)
    changed = draw(st.integers(0, len(keys) - 1))
    other[changed] = draw(st.one_of(ODD, st.sampled_from(GOOD[keys[changed]])))

    def text(chosen: list[str]) -> str:
        return " ".join(f'{key}="{value}"' if is_quoted else f"{key}={value}" for key, value, is_quoted in zip(keys, chosen, quoted, strict=True))

    return text(values), text(other)


def outcome(do: Callable[[], Parsed]) -> object:
    """The event, or the reason why there is none."""
    try:
        return do()
    except UnknownFormat as error:
        return error.reason


@settings(max_examples=600, deadline=None)
@given(twins())
def test_the_fast_way_is_the_plain_way(lines: tuple[str, str]) -> None:
    """A line after many like it, and one that differs in one value, give what the plain way gives."""
    parser = FortiGate()
    first, second = lines
    for text in (*(first,) * (SEEN_OFTEN + 1), second, first):
        assert outcome(lambda text=text: parse(text, parser)) == outcome(lambda text=text: plainly(text))  # type: ignore[misc]


def checked(found: Parsed) -> Parsed:
    """What was read, once its tokens proved to be those of its fields."""
    if found.tokens:
        assert set(found.tokens.split(" ")) == set(event_tokens({**found.doc, TEXT_FROM: "fields"}).split(" "))
    return msgspec.structs.replace(found, tokens="")


@settings(max_examples=200, deadline=None)
@given(
    st.lists(twins(), min_size=1, max_size=3),
    st.sampled_from([("", ""), ("<188>", ""), ("Nov 21 08:00:00 relay ", ""), (TRAFFIC + " ", ""), ("", " " + TRAFFIC)]),
)
def test_lines_read_together_are_those_read_alone(pairs: list[tuple[str, str]], around: tuple[str, str]) -> None:
    """Many lines at once, alike or not, odd values among them: what is read together equals what the plain way reads."""
    before, after = around
    lines = [frame(before + text + after) for pair in pairs for text in (*(pair[0],) * (SEEN_OFTEN + 2), pair[1])] * 2
    parser = FortiGate()
    for line, found in zip(lines, parser.parse_many(lines, CONTEXT), strict=True):
        if found is not None:
            assert checked(found) == plainly(line.text)
            assert list(found.doc) == list(parser.parse(line, CONTEXT).doc)


def test_ordinary_lines_are_read_together() -> None:
    """Samples that come often, and traffic lines with different values, are not left to be read alone, and are the same events."""
    parser = FortiGate()
    texts = [TRAFFIC.replace("51544", str(port)).replace("08:15:30", f"08:15:{port % 60:02d}") for port in range(2_000, 2_100)]
    found = parser.parse_many([frame(text) for text in texts], CONTEXT)
    assert [one is not None and checked(one) for one in found] == [plainly(text) for text in texts]
    assert all(one is not None and one.tokens for one in found)


@settings(max_examples=200, deadline=None)
@given(index=st.integers(0, len(LINES) - 1), data=st.data())
def test_a_damaged_sample_is_read_as_the_plain_way_reads_it(index: int, data: st.DataObject) -> None:
    """A real line that is seen often, then once with something put into it or cut out of it."""
    good = LINES[index]
    if "CEF:" in good:
        return
    parser = FortiGate()
    for _ in range(SEEN_OFTEN + 1):
        parse(good, parser)
    at = data.draw(st.integers(0, len(good)))
    bad = good[:at] + data.draw(ODD) + good[at + data.draw(st.integers(0, 10)) :]
    assert outcome(lambda: parse(bad, parser)) == outcome(lambda: plainly(bad))


@pytest.mark.parametrize(
    ("good", "bad"),
    [
        ('a=1 b="x"', 'a=1 b/c=N/A b="x"'),
        ('a="1" b="x"', 'a="1" b="x" a="N/A"'),
        ('type="event" remip=10.0.0.1 logid="0101039426"', 'type="N/A" remip=10.0.0.1 logid="0101039426"'),
        ('type="event" remip=10.0.0.1 logid="0101039426"', 'type="utm" remip=10.0.0.1 logid="0101039426"'),
    ],
)
def test_a_plan_is_not_taken_for_another_line(good: str, bad: str) -> None:
    """Lines that look alike once their empty values are dropped keep their own meaning."""
    parser = FortiGate()
    for text in (*(good,) * (SEEN_OFTEN + 1), bad, good):
        assert parse(text, parser) == plainly(text)


def test_tables_stay_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A sender that invents keys fills no memory."""
    monkeypatch.setattr(plan_module, "MOST_PLANS", 10)
    parser = FortiGate()
    for number in range(100):
        assert parse(f'date=2026-03-02 time=08:15:30 logid="1" key{number}=1', parser).doc[f"fortinet.firewall.key{number}"] == "1"
    assert len(parser._plans._plans) <= 10


def test_a_resent_line_has_the_same_key() -> None:
    """Whatever header a relay puts before a line, and whatever it adds, the occurrence is the same one."""
    key = parse("<189>" + TRAFFIC).natural_key
    assert key
    assert parse("<13>Mar  2 08:15:31 relay <189>" + TRAFFIC).natural_key == key
    assert parse("<14>1 2026-03-02T01:15:31Z relay fgt - - - " + TRAFFIC).natural_key == key
    assert parse("<189>" + TRAFFIC + ' srccountry="Reserved"').natural_key == key
    assert parse("<189>" + TRAFFIC.replace("eventtime=1772414130123456789", "eventtime=1772414130123456790")).natural_key != key


def test_old_lines_are_identified_by_their_text() -> None:
    """Without a time in nanoseconds the text is the identity, whatever the header."""
    old = TRAFFIC.replace("eventtime=1772414130123456789 ", "")
    key = parse(old).natural_key
    assert key
    assert parse("Mar  2 08:21:00 relay01 " + old).natural_key == key
    assert parse(old.replace("sessionid=81", "sessionid=82")).natural_key != key


def test_a_line_without_time_has_no_key() -> None:
    """What tells no time cannot be told from its repetition."""
    parsed = parse('date= desc="x" msg="Send new version object"')
    assert (parsed.ts_us, parsed.natural_key) == (0, "")


@pytest.mark.parametrize(
    ("change", "moment"),
    [
        (("", ""), "2026-03-02T01:15:30.123456Z"),
        (('tz="+0700" ', ""), "2026-03-02T01:15:30.123456Z"),
        (("eventtime=1772414130123456789 ", ""), "2026-03-02T01:15:30.000Z"),
        (("eventtime=1772414130123456789 ", "eventtime=1772414130 "), "2026-03-02T01:15:30.000Z"),
        (("eventtime=1772414130123456789 ", "eventtime=1600000000123456789 "), "2026-03-02T01:15:30.000Z"),
        (('eventtime=1772414130123456789 tz="+0700" ', 'tz="-0500" '), "2026-03-02T13:15:30.000Z"),
        (('eventtime=1772414130123456789 tz="+0700" ', 'tz="UTC-5:00" '), "2026-03-02T13:15:30.000Z"),
        (("time=08:15:30", "time=08: 15:30"), "2026-03-02T01:15:30.123456Z"),
        (("date=2026-03-02", "date=2026-02-30"), "2026-03-02T01:15:30.123456Z"),
    ],
)
def test_times(change: tuple[str, str], moment: str) -> None:
    """Date, time and zone make the moment, `eventtime` its fraction or, where there is no zone, the distance to UTC."""
    parsed = parse(TRAFFIC.replace(*change))
    assert parsed.doc["@timestamp"] == iso(parsed.ts_us) == moment


def test_a_device_seven_hours_off() -> None:
    """The measured offset of a source is added to the device's time."""
    parsed = parse(TRAFFIC, context=Context(CONTEXT.received_us, offset_us=7 * HOUR_US))
    assert parsed.doc["@timestamp"] == "2026-03-02T08:15:30.123456Z"


@pytest.mark.parametrize(
    "text",
    [
        "date=2026-03-02 time=08:15:30 device_id=FEVM020000000001 log_id=0200012345 type=statistics",
        'date=2026-03-02 time=08:15:30 devid="FVVM020000000001" log_id=1 type=attack',
        "date=2026-03-02 time=08:15:30 log_id=0102007810 type=event vd=root device_id=FADV040000000001",
        "date=2026-03-02 time=08:15:30.846 device_id=anonymous log_id=0200027993 type=statistics pri=information session_id=1",
        'device="SFW" date=2026-03-02 time=08:15:30 timezone="IST" device_name="XG" device_id=C4431 log_id=010101600001 log_type="Firewall" log_subtype="Allowed"',
        'date=2026-03-02 time=08:15:30 timezone="IST" device_name="CR" device_id=C07 log_id=010101600001 log_type="Firewall" vd=x',
        'timestamp="2026-03-02T08:15:30+0700" device_serial_id="C01" log_id="010101600001" log_type="Firewall"',
        "CEF:0|Fortinet|FortiWeb|1|2|3|4|",
        "CEF:0|Example|Fortigate|1|2|3|4|",
        "date=2026-03-02 time=08:15:30 log_id=0000000100 type=event subtype=config pri=information vd=root msg_id=39242021 user=admin",
        "date=2026-03-02 time=08:15:30 devname=x level=info",
        'devname="ems" devid="1111" fctsn="FCT1" date="2026-03-02" time="08:15:30" type="traffic" subtype="system" hostname="pc" srcname="a.exe"',
        "update=2026-03-02 done",
    ],
)
def test_lines_of_other_products_are_not_claimed(text: str) -> None:
    """FortiMail, FortiWeb, FortiADC and Sophos write the same keys and are no FortiGates."""
    assert not FortiGate().claims(frame(text))


@pytest.mark.parametrize(
    "text",
    [
        TRAFFIC,
        "312 <189>" + TRAFFIC,
        "2026-03-02T01:15:31Z stdout F <189>" + TRAFFIC,
        "syslog-1  | <189>" + TRAFFIC,
        "Mar  2 08:15:31 relay fortigate[7]: " + TRAFFIC,
        "Mar  2 08:15:31 relay Mar  2 08:15:30 fw " + TRAFFIC,
        "<189>" + TRAFFIC + "\x00",
        "date=2012-03-04 time=05:06:07 devname=FG device_id=FGT60C log_id=0021000002 type=traffic subtype=allowed pri=notice vd=root src=10.20.1.15",
        "date=2008-03-04 time=05:06:07 device_id=FGT60C log_id=0021000002 type=traffic subtype=allowed pri=notice src=10.20.1.15",
        'date=2026-03-02 time=08:15:30 devname="fw" type="traffic" subtype="forward" level="notice" srcip=10.20.1.15',
        "itime=1772414131 " + TRAFFIC,
        'logver=602051166 timestamp=1772414130 devid="FG1" vd="root" logid="0000000013" type="traffic" subtype="forward" srcip=10.20.1.15',
    ],
)
def test_lines_behind_any_header_are_claimed(text: str) -> None:
    """What relays, collectors and containers put before a line or leave out changes nothing of what it is about."""
    parser = FortiGate()
    assert parser.claims(frame(text))
    doc = parse(text, parser).doc
    assert (doc["source.ip"], doc["fortinet.firewall.type"]) == ("10.20.1.15", "traffic")
    assert "@timestamp" in doc


def test_a_line_without_date_has_the_time_that_it_tells_otherwise() -> None:
    """Seconds since 1970 under `timestamp`, then `itime` of the collector; the fast way and the plain one agree."""
    line = 'timestamp=1772414130 itime=1772414139 devid="FG1" logid="0000000013" type="traffic" srcip=10.20.1.15'
    assert parse(line).doc["@timestamp"] == "2026-03-02T01:15:30.000Z"
    assert parse(line.replace("timestamp=1772414130 ", "")).doc["@timestamp"] == "2026-03-02T01:15:39.000Z"
    parser = FortiGate()
    assert [parse(line, parser) for _ in range(SEEN_OFTEN + 2)] == [plainly(line)] * (SEEN_OFTEN + 2)


@pytest.mark.parametrize(("clock", "moment"), [("8:5:3", "01:05:03"), ("8:05:03", "01:05:03"), ("08:05:03", "01:05:03"), ("805", None), ("8:5", None)])
def test_times_of_day_with_few_digits(clock: str, moment: str | None) -> None:
    """One digit of an hour, minute or second is enough; all three must be there."""
    parsed = parse(f'date=2026-03-02 time={clock} tz="+0700" devid="FG1" logid="1" type="event"')
    assert parsed.doc.get("@timestamp", "")[11:19] == (moment or "")


def test_quotes_that_a_table_of_text_doubled() -> None:
    """A line out of a CSV file, with the quotes around it or without, reads as the line that was put in."""
    doubled = TRAFFIC.replace('"', '""')
    parser = FortiGate()
    for text in (doubled, f'"{doubled}"', doubled + ' user=""""'):
        assert parser.claims(frame(text))
        assert parse(text, parser).doc == parse(TRAFFIC).doc
    plain = 'date=2026-03-02 time=08:15:30 user="" devid="FG1" logid="1" type="event" msg="say ""a"" b"'
    assert parse(plain).doc["message"] == 'say ""a"" b'


@pytest.mark.parametrize(("word", "direction"), [("outgoing", "outbound"), (" Incoming ", "inbound"), ("sideways", None)])
def test_directions(word: str, direction: str | None) -> None:
    """FortiOS writes some of them with a blank before; an unknown one is no direction."""
    assert parse(TRAFFIC + f' direction="{word}"').doc.get("network.direction") == direction


def test_managers_log_who_logged_in() -> None:
    """FortiManager and FortiAnalyzer: the address of the user, the login and what came of it, the zone under its other name."""
    text = (
        'date=2026-03-02 time=08:15:30 timezone="GMT+7" devname="FMG" device_id="FMG-VM0A1" log_id=0001010029 type=event subtype=system pri=information '
        'desc="User login/logout successful" user="admin" userfrom="JSON(192.0.2.5)" msg="user admin login accepted" adminprof="Super_User"'
    )
    assert FortiGate().claims(frame(text))
    doc = parse(text).doc
    expected = {"event.action": "login", "event.category": ["authentication"], "event.outcome": "success", "source.ip": "192.0.2.5", "user.name": "admin"}
    assert expected.items() <= doc.items()
    assert doc["@timestamp"] == "2026-03-02T01:15:30.000Z"
    failed = parse(text.replace("successful", "failed").replace('userfrom="JSON(192.0.2.5)"', "remote_ip=192.0.2.6 remote_port=4444")).doc
    assert (failed["event.outcome"], failed["source.ip"], failed["source.port"]) == ("failure", "192.0.2.6", 4444)


@pytest.mark.parametrize(
    ("serial", "product", "kind", "dataset"),
    [
        ("FMGVMSTM23000100", "FortiManager", "manager", "fortinet_fortimanager.log"),
        ("FAZ-VMTM23000100", "FortiAnalyzer", "analyzer", "fortinet_fortianalyzer.log"),
        ("FL-1KD3A15800000", "FortiAnalyzer", "analyzer", "fortinet_fortianalyzer.log"),
        ("FCHVM00000000001", "FortiCache", "proxy", "fortinet_forticache.log"),
        ("FPX4HETA21000025", "FortiProxy", "proxy", "fortinet_fortiproxy.log"),
        ("FGVM02TM22028028", "Fortigate", "firewall", "fortinet_fortigate.log"),
        ("FWF60ETK20000001", "Fortigate", "firewall", "fortinet_fortigate.log"),
        ("somerouterid", "Fortigate", "firewall", "fortinet_fortigate.log"),
    ],
)
def test_the_serial_number_tells_the_product(serial: str, product: str, kind: str, dataset: str) -> None:
    """A device is what its serial number says: read alone, by a pattern, by the plain way, as CEF and together with lines of FortiGates."""
    text = TRAFFIC.replace('devid="FG1"', f'devid="{serial}"')
    expected = {"observer.product": product, "observer.type": kind, "event.dataset": dataset, "observer.serial_number": serial, "event.module": "fortinet"}
    parser = FortiGate()
    assert parser.claims(frame(text))
    for _ in range(SEEN_OFTEN + 2):
        assert expected.items() <= parse(text, parser).doc.items()
    assert expected.items() <= plainly(text).doc.items()
    cef = f"CEF:0|Fortinet|Fortigate|v7.0.12|00013|traffic:forward close|3|deviceExternalId={serial} FTNTFGTeventtime=1772414130123456789 src=10.0.0.1"
    assert expected.items() <= parse(cef).doc.items()
    lines = [frame(one) for one in (text, TRAFFIC) * 20]
    for tokens in (True, False):
        found = parser.parse_many(lines, msgspec.structs.replace(CONTEXT, tokens=tokens))
        assert [one is not None and checked(one) for one in found] == [plainly(line.text) for line in lines]


@pytest.mark.parametrize("start", ["", "date='2026-11-20' time='10:21:01' "])
def test_pairs_in_single_quotes_without_numbers_and_addresses(start: str) -> None:
    """The header has the time, and nothing that is no number or address says that the quotes are in the way."""
    pairs = start + "devid='FGT60E4Q00000001' logid='0100032002' type='event' subtype='system' level='alert' user='admin' action='login' status='failed'"
    parser = FortiGate()
    for _ in range(2 * SEEN_OFTEN):
        found, expected = parse("<190>Nov 20 10:21:33 fw " + pairs, parser), parse("<190>Nov 20 10:21:33 fw " + pairs.replace("'", '"'))
        assert (found.doc, found.ts_us) == (expected.doc, expected.ts_us)


def test_pairs_in_single_quotes() -> None:
    """A relay that writes all pairs so means what the device wrote; alone and together with others. Single quotes inside a value stay."""
    text = "date='2026-03-02' time='08:15:30' devname='fw 1' devid='FG1' logid='0000000013' type='traffic' srcip='10.0.0.1' srcport='5' msg='a b'"
    expected = parse(text.replace("'", '"'))
    parser = FortiGate()
    assert parser.claims(frame(text))
    for _ in range(SEEN_OFTEN + 2):
        found = parse(text, parser)
        assert (found.doc, found.ts_us) == (expected.doc, expected.ts_us)
    assert [one is not None and checked(one).doc for one in parser.parse_many([frame(text)] * 8, CONTEXT)] == [expected.doc] * 8
    assert parse(TRAFFIC + " msg='it is'").doc["message"] == "'it is'"


def test_the_user_of_a_tunnel_is_who_logged_in() -> None:
    """IPsec writes the peer's address as user and the login as `xauthuser` or `eapuser`."""
    head = 'date=2026-03-02 time=08:15:30 devid="FG1" logid="0101037138" type="event" subtype="vpn" action="tunnel-up" remip=192.0.2.9 locip=198.51.100.2 '
    for tail, name in (('user="192.0.2.9" xauthuser="bob"', "bob"), ('user="192.0.2.9" xauthuser="N/A"', "192.0.2.9"), ('xauthuser="x" eapuser="eve"', "eve")):
        assert parse(head + tail).doc["source.user.name"] == parse(head + tail).doc["user.name"] == name


def test_the_host_of_an_event_is_no_address_of_a_page() -> None:
    """A DHCP client's name is the source's; in web logs `hostname` is the server asked for."""
    assert parse('date=2026-03-02 time=08:15:30 devid="FG1" logid="0100026001" type="event" subtype="system" hostname="pc7"').doc["source.domain"] == "pc7"
    assert parse('date=2026-03-02 time=08:15:30 devid="FG1" logid="1" type="utm" subtype="webfilter" hostname="x.example"').doc["url.domain"] == "x.example"


def test_cef_names_of_protocols_have_their_number() -> None:
    """`network.iana_number` is a number also where the sender wrote the name."""
    doc = parse("CEF:0|Fortinet|FortiGate|v7|13|traffic:forward deny|3|src=192.0.2.1 proto=ICMP").doc
    assert (doc["network.iana_number"], doc["network.transport"]) == ("1", "icmp")


def test_what_is_no_line_of_it_is_refused() -> None:
    """Text without pairs, and a broken CEF header, are errors with their reason."""
    with pytest.raises(UnknownFormat):
        parse("nothing to see")
    with pytest.raises(MalformedRecord):
        parse("CEF:0|Fortinet|Fortigate|v7")


def test_pairs_of_a_line_are_bounded_on_every_way() -> None:
    """Ten thousand keys of an attacker make no ten thousand fields; the first ones count."""
    line = TRAFFIC + "".join(f" k{number}=1" for number in range(10_000))
    assert parse(line) == plainly(line)
    assert len(parse(line).doc) < MOST_PAIRS + 50


@pytest.mark.parametrize(("date", "clock", "zone"), [("0001-01-01", "00:00:00", "+0700"), ("9989-12-31", "23:59:59", "-1200"), ("0001-01-01", "00:00:00", "")])
def test_a_date_at_the_end_of_all_calendars_is_none_or_a_time(date: str, clock: str, zone: str) -> None:
    """A moment outside the years that UTC can be written in here is no time; the line stays an event."""
    text = TRAFFIC.replace("2026-03-02", date).replace("08:15:30", clock).replace('tz="+0700"', f'tz="{zone}"').replace("eventtime=1772414130123456789 ", "")
    parsed = parse(text)
    assert parsed.doc["source.ip"] == "10.20.1.15"
    assert bool(parsed.ts_us) == ("@timestamp" in parsed.doc)
    assert parsed == plainly(text)


@pytest.mark.parametrize("port", ["0", "0443", "00000", "443"])
def test_the_words_of_numbers_are_those_of_what_they_became(port: str) -> None:
    """A number that stood with zeros before it is found without them, as its field has it; addresses are their own words."""
    parser = FortiGate()
    lines = [TRAFFIC, TRAFFIC.replace("srcport=51544", f"srcport={port}"), TRAFFIC.replace("10.20.1.15", "10.20.1.16"), TRAFFIC]
    for _ in range(SEEN_OFTEN):
        found = parser.parse_many([frame(text) for text in lines], CONTEXT)
    words = [one.tokens.split(" ") for one in found if one is not None and checked(one).doc]
    assert len(words) == len(lines)
    assert str(int(port)) in words[1]
    assert port in words[1] or port != str(int(port))
    assert [("10.20.1.15" in some, "10.20.1.16" in some) for some in words] == [(True, False), (True, False), (False, True), (True, False)]
