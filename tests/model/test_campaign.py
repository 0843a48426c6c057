from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soc.model.campaign import MOST_KEYS, MOST_SUBJECT, campaign_keys, network_of, subject_key

BASE = "xac minh tai khoan hop thu truoc # hom nay"


@pytest.mark.parametrize(
    "subject",
    [
        "Xác minh tài khoản hộp thư trước 17h hôm nay",
        "XÁC MINH TÀI KHOẢN HỘP THƯ TRƯỚC 9H HÔM NAY!!!",
        "Xac minh tai khoan hop thu truoc 17h hom nay",
        "Re: Fwd: Xác minh tài khoản hộp thư trước 17h hôm nay",
        "Trả lời: xác minh tài khoản hộp thư trước 17h hôm nay",
        "***SPAM*** Xác minh tài khoản hộp thư trước 17h hôm nay",
        "[EXTERNAL] FW: Xác minh tài khoản hộp thư trước 17h hôm nay",
        "🔥 Xác minh tài khoản hộp thư ⚠️ trước 17h hôm nay 🔥",
        "Xác\u200b minh tài\u00ad khoản hộp thư trước 17h hôm nay",
        "Хác minh tài khоản hộp thư trước 17h hôm nаy",  # with Cyrillic х, о, а
        "Ｘác minh tài khoản hộp thư trước 17h hôm nay",  # full width
        "Xa\u0301c minh ta\u0300i khoa\u0309n hộp thư trước 17h hôm nay",  # NFD
    ],
)
def test_what_a_wave_changes_from_mail_to_mail_does_not_change_the_key(subject: str) -> None:
    """Case, accents, numbers, emoji, invisible characters, look-alike letters, prefixes and tags make no other campaign."""
    assert subject_key(subject).replace("#h", "#") == BASE


@pytest.mark.parametrize(
    ("subject", "key"),
    [
        ("Hóa đơn số 0012345 ngày 20/11/2026", "hoa don so # ngay #"),
        ("Đơn hàng VN8F2K19X của cb1056@tinh.gov.vn", "don hang # cua @"),
        ("Re: hi", ""),
        ("", ""),
        ("12345", ""),
        ("Báo cáo tuần", "bao cao tuan"),
        ("Báo cáo 2026-11-20", "bao cao #"),
        ("Báo cáo 20 11 2026", "bao cao #"),
        ("Quyết định 2b9e8c71", "quyet dinh #"),
    ],
)
def test_what_is_new_in_each_mail_is_left_out(subject: str, key: str) -> None:
    """Numbers, tokens and addresses are placeholders; a subject of almost nothing has no key."""
    assert subject_key(subject) == key


def test_different_subjects_are_different_campaigns() -> None:
    """Words tell campaigns apart."""
    assert subject_key("Giấy mời họp giao ban") != subject_key("Giấy mời họp tổng kết")


def test_each_known_part_is_a_key_and_the_network_only_without_any() -> None:
    """A wave that changes its subject is found by its link, attachment or text."""
    keys = campaign_keys(
        subject="Thông báo nâng cấp",
        links=["https://www.Evil.example:8443/login?x=1", "evil.example"],
        files=["9F86D0"],
        content="AABB",
        address="198.51.100.7",
        sender="a@b.example",
    )
    assert keys == ["subject thong bao nang cap", "link evil.example", "file 9f86d0", "content aabb"]
    assert campaign_keys(subject="hi", address="198.51.100.7", sender="a@B.example") == ["network 198.51.100.0/24 b.example"]
    assert campaign_keys(address="2001:db8:1:2::7") == ["network 2001:db8:1::/48"]
    assert campaign_keys(address="unknown") == []


def test_the_network_of_an_address() -> None:
    """/24 and /48, as providers hand them out; nothing for what is no address."""
    assert network_of("203.0.113.77") == "203.0.113.0/24"
    assert network_of("2001:db8::1") == "2001:db8::/48"
    assert network_of("mail.example") == ""


@given(st.text(max_size=400))
def test_a_key_is_bounded_and_stable(subject: str) -> None:
    """Whatever stands in a subject, the key is short, has no control characters, and is its own key where it is long enough."""
    key = subject_key(subject)
    assert len(key) <= MOST_SUBJECT
    assert key.isprintable()
    assert subject_key(subject) == key


@given(st.lists(st.text(max_size=300), max_size=20))
def test_the_number_of_keys_is_bounded(links: list[str]) -> None:
    """A mail of a thousand links has few keys."""
    assert len(campaign_keys(links=links)) <= MOST_KEYS
