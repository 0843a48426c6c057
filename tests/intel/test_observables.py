"""What texts name, and in which time."""

from __future__ import annotations

from time import process_time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soc.intel.observables import LONGEST, MOST_FOUND, TYPES, Observable, defanged, every, extract, of_event, read

CASES: dict[str, set[tuple[str, str]]] = {
    "203.0.113.5": {("ip", "203.0.113.5")},
    "203.0.113.5:8443": {("ip", "203.0.113.5")},
    "(203[.]0[.]113[.]5)": {("ip", "203.0.113.5")},
    "203.0.113(.)5, 203.0.113[dot]6.": {("ip", "203.0.113.5"), ("ip", "203.0.113.6")},
    "203.0.113.0/24": {("ip", "203.0.113.0/24")},
    "203.0.113.5/32": {("ip", "203.0.113.5")},
    "2001:DB8::1": {("ip", "2001:db8::1")},
    "[2001:db8::1]:443": {("ip", "2001:db8::1")},
    "fe80::1%eth0": set(),
    "::": set(),
    "0.0.0.0": set(),
    "(2001:db8::), ::1.": {("ip", "2001:db8::"), ("ip", "::1")},
    "a::b::c std::string": set(),
    "256.1.1.1": set(),
    "1.2.3": set(),
    "08:30 22:05 12/11/2026": set(),
    "v1.2.3.4": set(),
    "evil.example.com": {("domain", "evil.example.com")},
    "EVIL[.]Example[.]Com": {("domain", "evil.example.com")},
    "lừa-đảo.vn": {("domain", "lừa-đảo.vn".encode("idna").decode())},
    "xn--80ak6aa92e.com": {("domain", "xn--80ak6aa92e.com")},
    "observer.name=FGT-SO-YT source.ip=10.60.9.45 user.name='an'": {("ip", "10.60.9.45")},
    "203.0.113.7=x hoadon.exe=1 a.example.com:b=c": {("ip", "203.0.113.7"), ("file", "hoadon.exe"), ("domain", "a.example.com")},
    "TP.HCM v.v. P.KT Th.S": set(),
    "không phải.tên": set(),
    "a..b.com": set(),
    "-bad.com": {("domain", "bad.com")},
    "xau.top/duong?x=1": {("domain", "xau.top")},
    "hxxp://xau[.]top/a": {("url", "http://xau.top/a"), ("domain", "xau.top")},
    "hXXps[:]//xau.top": {("url", "https://xau.top/"), ("domain", "xau.top")},
    "https://u:p@XAU.top:8443/A?b=C#d": {("url", "https://xau.top:8443/A?b=C"), ("domain", "xau.top")},
    "url=http://[2001:db8::5]:80/x": {("url", "http://[2001:db8::5]:80/x"), ("ip", "2001:db8::5")},
    '<a href="http://203.0.113.9/x.exe">': {("url", "http://203.0.113.9/x.exe"), ("ip", "203.0.113.9")},
    "http://": set(),
    "http://localhost/x": set(),
    "lua[at]xau[.]top": {("email", "lua@xau.top")},
    "mailto:A.B+c@Xau.Top": {("email", "a.b+c@xau.top")},
    "@@ a@ @b.com": set(),
    "d41d8cd98f00b204e9800998ecf8427e": {("hash", "d41d8cd98f00b204e9800998ecf8427e")},
    "DA39A3EE5E6B4B0D3255BFEF95601890AFD80709": {("hash", "da39a3ee5e6b4b0d3255bfef95601890afd80709")},
    "d41d8cd98f00b204e9800998ecf8427": set(),
    "C:\\Users\\a\\HoaDon.exe": {("file", "hoadon.exe")},
    "hóa_đơn.docx": {("file", "hóa_đơn.docx")},
    "hoadon.zip": {("file", "hoadon.zip")},
    "tên\u202egnp.exe": {("file", "gnp.exe")},
}


@pytest.mark.parametrize("text", CASES)
def test_what_a_text_names(text: str) -> None:
    """Each way in which people write addresses, domains, URLs, hashes, mail addresses and files, and what is none."""
    assert {(one.type, one.value) for one in extract(f"trước {text} sau")} == CASES[text]


def test_each_time_counts() -> None:
    """`every` tells a thing as often as it stands there; `extract` once, in order."""
    text = "203.0.113.5 203.0.113[.]5 xau.top 203.0.113.5"
    assert [one.value for one in every(text)] == ["203.0.113.5", "203.0.113.5", "xau.top", "203.0.113.5"]
    assert [one.value for one in extract(text)] == ["203.0.113.5", "xau.top"]


@given(st.text(max_size=400))
def test_any_text_is_read(text: str) -> None:
    """Nothing that is written breaks the reading; what is found is one printable word of bounded length that is found in itself."""
    for one in extract(text):
        assert one.type in TYPES
        assert 0 < len(one.value) <= LONGEST + 10
        assert one.value.isprintable()
        if one.type != "file":
            assert one in extract(one.value), one


_NAMES = st.from_regex(r"[a-z][a-z0-9]{1,10}(-[a-z0-9]{1,5})?\.(com|net|top|vn)", fullmatch=True)


@given(
    st.one_of(
        st.ip_addresses().filter(lambda one: not one.is_unspecified).map(str),
        _NAMES,
        _NAMES.map(lambda name: f"https://{name}/a?b=1"),
        _NAMES.map(lambda name: f"ai@{name}"),
    )
)
def test_what_is_written_harmlessly_is_read_again(value: str) -> None:
    """Defanging and reading again gives the same thing, and what is defanged is no longer what a program would take."""
    one = read(value)
    assert one is not None
    harmless = defanged(one)
    assert read(harmless) == one
    assert harmless != one.value


@pytest.mark.parametrize("piece", ["a.", "[.]", "http://", "@", "((", "1.", "a@b.", ":", "%", "x" * 300 + " ", "203.0.113.5 ", "[:", "hxxp"])
def test_time_grows_with_the_length(piece: str) -> None:
    """A megabyte of what is hardest to read takes seconds at most, and not the square of a tenth of it."""
    small, large = piece * (100_000 // len(piece)), piece * (1_000_000 // len(piece))
    begun = process_time()
    extract(small)
    middle = process_time()
    extract(large)
    assert process_time() - middle < 40 * (middle - begun) + 1


def test_bounds() -> None:
    """Of one text not more than some thousand things are told."""
    text = " ".join(f"10.{at >> 16}.{at >> 8 & 255}.{at & 255}" for at in range(MOST_FOUND + 100))
    assert len(extract(text)) == MOST_FOUND


def test_what_an_event_names() -> None:
    """Addresses of both sides, domains, URLs, hashes, senders and files; lists too; what is no value of its kind is left out."""
    doc = {
        "source.ip": "10.1.1.1",
        "destination.ip": ["203.0.113.5", 7],
        "dns.question.name": "Xau.Internal",
        "file.hash.sha256": "0" * 64,
        "email.from.address": "lua@xau.top",
        "email.attachments.file.name": ["hóa đơn.exe"],
        "url.original": "not a url",
    }
    assert set(of_event(doc)) == {
        Observable("ip", "10.1.1.1"), Observable("ip", "203.0.113.5"), Observable("domain", "xau.internal"), Observable("hash", "0" * 64),
        Observable("email", "lua@xau.top"), Observable("file", "hóa đơn.exe"),
    }  # fmt: skip


def test_one_value() -> None:
    """A word with its type said is that; two things are not one."""
    assert read("hoa don", "file") == Observable("file", "hoa don")
    assert read("máy-chủ.nội-bộ", "domain") is not None
    assert read("203.0.113.5 203.0.113.6") is None
    assert read("https://xau.top/a") == Observable("url", "https://xau.top/a")
    assert read("x", "ip") is None
