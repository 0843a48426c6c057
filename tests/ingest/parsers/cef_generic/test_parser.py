"""CEF of any sender: what is known goes to ECS, what is not stays, nothing is lost."""

from __future__ import annotations

import pytest
import yaml

from soc.errors import MalformedRecord, UnknownFormat
from soc.ingest.framing import frame
from soc.ingest.parser import Context, Parsed
from soc.ingest.parsers.cef_generic.parser import PARSER, dictionary, full_name

CONTEXT = Context(1_795_222_800_000_000)
HEAD = "CEF:0|Example|Gate|1.0|19|Login|3|"


def parse(text: str) -> Parsed:
    """A framed and parsed line."""
    return PARSER.parse(frame(text), CONTEXT)


def test_short_and_full_names_are_the_same() -> None:
    """A sender that writes full names gets the same document."""
    short = parse(HEAD + "src=10.0.0.1 spt=5 dst=10.0.0.2 suser=a act=Deny rt=1772415000000").doc
    full = parse(
        HEAD + "sourceAddress=10.0.0.1 sourcePort=5 destinationAddress=10.0.0.2 sourceUserName=a deviceAction=Deny deviceReceiptTime=1772415000000"
    ).doc
    assert short == full
    assert short["source.ip"] == "10.0.0.1"


@pytest.mark.parametrize(
    ("severity", "number"),
    [("0", 0), ("10", 10), ("Low", 0), ("medium", 4), ("High", 7), ("Very-High", 9), ("Unknown", None), ("", None), ("٣", None), ("999", None)],
)
def test_severities(severity: str, number: int | None) -> None:
    """Words and numbers of the standard become 0 to 10; others stay text only."""
    assert parse(f"CEF:0|a|b|c|d|e|{severity}|").doc.get("event.severity") == number


@pytest.mark.parametrize(
    ("extension", "moment"),
    [
        ("rt=1772415000000", "2026-03-02T01:30:00.000Z"),
        ("rt=Mar 02 2026 08:30:00", "2026-03-02T01:30:00.000Z"),
        ("rt=Mar 02 2026 08:30:00.123 UTC", "2026-03-02T08:30:00.123Z"),
        ("rt=Mar 02 08:30:00", "2026-03-02T01:30:00.000Z"),
        ("rt=2026-03-02T08:30:00+09:00", "2026-03-01T23:30:00.000Z"),
        ("rt=Mar 02 2026 08:30:00 dtz=Asia/Tokyo", "2026-03-01T23:30:00.000Z"),
        ("start=1772415000000 art=1772415009000", "2026-03-02T01:30:00.000Z"),
        ("rt=rubbish end=1772415000000", "2026-03-02T01:30:00.000Z"),
        ("rt=99999999999999999999", None),
        ("x=1", None),
    ],
)
def test_times(extension: str, moment: str | None) -> None:
    """Each date form of the standard, and which time is the event's."""
    assert parse(HEAD + extension).doc.get("@timestamp") == moment


def test_the_syslog_header_tells_the_time_when_nothing_else_does() -> None:
    """A record without times has that of its header."""
    assert parse("<13>Mar  2 08:30:00 gate " + HEAD + "src=10.0.0.1").doc["@timestamp"] == "2026-03-02T01:30:00.000Z"


def test_labels_say_what_custom_fields_are() -> None:
    """A known label puts the value where it belongs; the pair of value and label stays too."""
    doc = parse(HEAD + "cs1=Chan web cs1Label=Rule Name cn3=7 cn3Label=Unheard c6a2=fd00::5 c6a2Label=Source IPv6 Address").doc
    assert doc["rule.name"] == "Chan web"
    assert doc["source.ip"] == "fd00::5"
    assert doc["cef.extensions.deviceCustomNumber3"] == "7"
    assert doc["cef.extensions.deviceCustomNumber3Label"] == "Unheard"


@pytest.mark.parametrize("label", ["Rule Name", "rule name", "rule_name", "RuleName", " Rule-Name"])
def test_spelling_of_labels_does_not_count(label: str) -> None:
    """Capitals, blanks and signs differ from sender to sender."""
    assert parse(HEAD + f"cs1Label={label} cs1=Chan web").doc["rule.name"] == "Chan web"


def test_capitals_of_keys_do_not_count() -> None:
    """A key of the dictionary in other capitals is that key."""
    assert parse(HEAD + "requestmethod=GET SRC=10.0.0.1").doc["http.request.method"] == "GET"
    assert parse(HEAD + "requestmethod=GET SRC=10.0.0.1").doc["source.ip"] == "10.0.0.1"


@pytest.mark.parametrize("nothing", ["-", '"-"', "N/A", "null", "(null)"])
def test_nothing_is_no_name(nothing: str) -> None:
    """A sign for nothing stays among the extensions and names nobody."""
    doc = parse(HEAD + f"suser={nothing} duser=lan").doc
    assert "source.user.name" not in doc
    assert doc["cef.extensions.sourceUserName"] == nothing
    assert doc["destination.user.name"] == "lan"


def test_an_address_with_its_port() -> None:
    """Both are taken; a port of its own key wins when it comes first."""
    doc = parse(HEAD + "src=192.0.2.1:4040 dpt=1 dst=192.0.2.2:443").doc
    assert (doc["source.ip"], doc["source.port"], doc["destination.ip"], doc["destination.port"]) == ("192.0.2.1", 4040, "192.0.2.2", 1)
    assert parse(HEAD + "src=nowhere:80").doc["cef.extensions.sourceAddress"] == "nowhere:80"


@pytest.mark.parametrize(
    ("value", "address", "port"),
    [
        ("[2001:db8::5]:80", "2001:db8::5", 80),
        ("2001:db8::5", "2001:db8::5", None),
        ("192.0.2.1|", "192.0.2.1", None),
        ('"192.0.2.1"', "192.0.2.1", None),
        ("192.0.2.0/24", None, None),
        ("10.01.01.123", None, None),
        ("192.0.2.1:70000", None, None),
        ("192.0.2.1 and more", None, None),
    ],
)
def test_addresses_as_senders_write_them(value: str, address: str | None, port: int | None) -> None:
    """Brackets, quotes and a bar after the last value are no part of an address; a network or a broken one is none."""
    doc = parse(HEAD + f"act=x src={value}").doc
    assert (doc.get("source.ip"), doc.get("source.port")) == (address, port)
    assert address is not None or doc["cef.extensions.sourceAddress"] == value


@pytest.mark.parametrize(
    ("value", "transport"), [("udp/dns", "udp"), ("IPv4/TCP", "tcp"), ("6", "tcp"), ("Icmp", "icmp"), ("a/b", None), ("/" * 10_000, None), ("255", None)]
)
def test_transports_as_senders_write_them(value: str, transport: str | None) -> None:
    """A name or number, perhaps beside another protocol."""
    assert parse(HEAD + f"proto={value}").doc.get("network.transport") == transport


def test_labels_in_any_capitals_and_records_in_quotes() -> None:
    """Zscaler writes `cs6label`; a table of text puts a record in quotes."""
    doc = parse(HEAD + "cs1=Block all cs1label=Rule Name").doc
    assert (doc["rule.name"], doc["cef.extensions.deviceCustomString1Label"]) == ("Block all", "Rule Name")
    assert parse(f'"{HEAD}msg=say ""hi"""').doc["message"] == 'say "hi"'


def test_a_record_without_a_severity() -> None:
    """What a sender left out makes nothing else fall out."""
    doc = parse("CEF:0|Example|Gate|1.0|19|Login|src=192.0.2.1 act=Deny").doc
    assert (doc["source.ip"], doc["event.type"], doc["message"]) == ("192.0.2.1", ["denied"], "Login")
    assert "event.severity" not in doc


@pytest.mark.parametrize(
    ("head", "moment"),
    [
        ("Jun 12 23:37:17 <local0.info> gw CEF:0|Citrix|NetScaler|NS11.0|APPFW|A|6|cs5=2015", "2015-06-12T16:37:17.000Z"),
        ("June 12 23:37:17 gw CEF:0|Citrix|NetScaler|NS11.0|APPFW|A|6|cs5=2015 src=10.0.0.1", "2015-06-12T16:37:17.000Z"),
        ("Jun 12 23:37:17 gw CEF:0|Citrix|NetScaler|NS11.0|APPFW|A|6|cs5=20155", "2026-06-12T16:37:17.000Z"),
        ("Feb 29 23:37:17 gw CEF:0|Citrix|NetScaler|NS11.0|APPFW|A|6|cs5=2015", "2024-02-29T16:37:17.000Z"),
        ("2026-06-12T23:37:17Z gw CEF:0|Citrix|NetScaler|NS11.0|APPFW|A|6|cs5=2015", "2026-06-12T23:37:17.000Z"),
        ("Jun 12 23:37:17 gw CEF:0|Example|Gate|1|APPFW|A|6|cs5=2015", "2026-06-12T16:37:17.000Z"),
    ],
)
def test_the_year_that_a_sender_tells(head: str, moment: str) -> None:
    """NetScaler writes the year of the header's time in cs5; a wrong one, and those of other senders, count for nothing."""
    assert parse(head).doc["@timestamp"] == moment


def test_labels_tell_category_and_alert() -> None:
    """A Check Point record of a protection is an intrusion; with a rule and a risk it is an alert."""
    head = "CEF:0|Check Point|SmartDefense|v|IPS|n|5|"
    doc = parse(head + "src=192.0.2.1 cs3Label=Protection Type cs3=IPS cp_app_risk=High cs1Label=DLP Rule Name cs1=r").doc
    assert (doc["event.category"], doc["event.kind"]) == (["network", "intrusion_detection"], "alert")
    doc = parse(head + "src=192.0.2.1 cs3Label=Protection Type cs3= cp_app_risk=High").doc
    assert (doc["event.category"], doc["event.kind"]) == (["network"], "event")


def test_values_of_the_wrong_kind_stay_as_text() -> None:
    """A port that is none is kept, and no field gets another type by it."""
    doc = parse(HEAD + "spt=70000 src=nowhere in=-5 smac=zz proto=pigeon deviceDirection=up cn1Label=response_code cn1=0").doc
    wrong = {"source.port", "source.ip", "source.bytes", "source.mac", "network.transport", "network.direction", "http.response.status_code"}
    assert not wrong & doc.keys()
    assert parse(HEAD + "cn1Label=response_code cn1=404").doc["http.response.status_code"] == 404
    assert doc["cef.extensions.sourcePort"] == "70000"
    assert doc["cef.extensions.transportProtocol"] == "pigeon"


@pytest.mark.parametrize(
    ("action", "types"),
    [
        ("Accept", ["allowed"]),
        ("blocked", ["denied"]),
        ("not blocked", None),
        ("IDS:Reset", ["denied"]),
        ("Log", None),
        ("Refuse", ["denied"]),
        ("Alert_Deny", ["denied"]),
        ("not_blocked", None),
    ],
)
def test_the_action_tells_allowed_from_denied(action: str, types: list[str] | None) -> None:
    """Words that say so; a word with `not` before it says nothing."""
    assert parse(HEAD + f"act={action}").doc.get("event.type") == types


def test_a_resent_record_has_the_same_key() -> None:
    """The syslog header is no part of the identity."""
    record = HEAD + "src=10.0.0.1 rt=1772415000000"
    key = parse(record).natural_key
    assert key
    assert parse("<13>Mar  2 08:30:00 relay " + record).natural_key == key
    assert parse(HEAD + "src=10.0.0.1 rt=1772415000001").natural_key != key
    numbered = parse(HEAD + "externalId=5 rt=1772415000000 dvchost=g src=10.0.0.1").natural_key
    assert parse(HEAD + "externalId=5 rt=1772415000000 dvchost=g src=10.0.0.1 relayedBy=x").natural_key == numbered


def test_broken_and_foreign_text_is_refused() -> None:
    """A broken header keeps its text in the error; text without CEF is of another format."""
    with pytest.raises(MalformedRecord) as caught:
        parse("<13>Mar  2 08:30:00 gate CEF:0|a|b")
    assert caught.value.fields["message"] == "CEF:0|a|b"
    assert caught.value.fields["log.syslog.hostname"] == "gate"
    with pytest.raises(UnknownFormat):
        parse("hello")


def test_the_dictionary_is_sound() -> None:
    """Full names are their own entries, and strange keys become safe ones."""
    assert all(dictionary()[entry.name].name == entry.name for entry in dictionary().values())
    assert [full_name(key) for key in ("src", "cs1", "cn2Label", "ad.foo[0]", "x,y")] == [
        "sourceAddress",
        "deviceCustomString1",
        "deviceCustomNumber2Label",
        "ad_foo_0_",
        "x_y",
    ]


def test_a_flood_of_new_vendors_reads_no_file_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Vendor and product are the sender's words: whoever changes them with every line must not make us parse YAML with every line."""
    parse(HEAD + "src=10.0.0.1")
    monkeypatch.setattr(yaml, "safe_load", lambda _text: pytest.fail("a file was read again"))
    for number in range(50):
        assert parse(f"CEF:0|V{number}|P{number}|1|1|n|3|src=10.0.0.1").doc["source.ip"] == "10.0.0.1"
