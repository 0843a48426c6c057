"""A notice is followed until each agency has answered."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from soc.application import approval, incidents, notices, notices_send
from soc.application.app import Actor, App
from soc.bootstrap import open_app
from soc.clock import FrozenClock, from_iso, iso
from soc.config import Settings, StoreSettings
from soc.errors import Conflict, NotAllowed, NotFound, SocError, UsageError
from soc.incidents.notices import WAY, Notice, code_of, fold
from soc.incidents.notices_listing import projection
from soc.model.fact import ANY_VERSION, Behalf, NewFact, Stored
from soc.organization.registry import Registry, record
from soc.organization.table import Row
from tests.incidents.test_workflow import NOW, application
from tests.servers.clock import clock_for

DAY = 86_400_000_000


@pytest.fixture
def app() -> App:
    """A province with a department, three communes and a district that has ended."""
    app = application()
    rows = [
        {"id": "tinh", "name": "Tỉnh", "level": "province"},
        {"id": "so-yt", "name": "Sở Y tế", "level": "department", "parent": "tinh"},
        *({"id": f"x-{n}", "name": f"Xã {n}", "level": "commune", "parent": "tinh"} for n in (1, 2, 3)),
        {"id": "h-a", "name": "Huyện A", "level": "district", "parent": "tinh", "valid_until": "2025-06-30", "successors": "x-1;x-2"},
    ]
    record(app.journal, Registry(app.journal).plan("agencies", [Row(n, row) for n, row in enumerate(rows)]), actor="an")
    return app


def out(app: App, **more: object) -> Notice:
    """A notice to three communes that was signed and sent."""
    made = notices.draft(app, "Lỗ hổng Zimbra", to=["x-1", "x-2", "x-3"], due_at=iso(NOW + 3 * DAY), **more)  # type: ignore[arg-type]
    notices.approve(app, made.id, signer="Giám đốc", number="12/CB", signed_on="2026-11-21")
    return notices_send.send(app, made.id, channel="document")


def code(app: App, notice: Notice, agency: str) -> str:
    """The code of a recipient."""
    return notices.recipient_of(notices.get(app, notice.id), agency).code


def test_from_draft_to_verified(app: App) -> None:
    """Draft, signature, sending, an answer by code, one on behalf, one never: each recipient is where it is."""
    made = out(app, annex={"x-1": ["a@tinh-mau.gov.vn"], "x-2": ["b@tinh-mau.gov.vn"]})
    assert (made.id, made.state, [one.state for one in made.recipients]) == ("TB-2026-0001", "sent", ["sent"] * 3)
    found, agency = notices.acknowledge(app, code(app, made, "x-1").lower())
    assert (found.id, agency) == (made.id, "x-1")
    notices.answer(app, made.id, "x-1", "acted", text="đã vá")
    notices.answer(app, made.id, "x-1", "verified")
    found = notices.answer(app, made.id, "x-2", "received", behalf=Behalf("Chị Hoa", "telephone", "", "gọi lúc 9 giờ"))
    assert [one.state for one in found.recipients] == ["verified", "received", "sent"]
    assert found.recipients[1].answers[0]["behalf"] == "Chị Hoa"
    assert [one.agency for one in found.unanswered()] == ["x-3"]


def test_each_letter_holds_its_own_annex_only(app: App) -> None:
    """No recipient sees another's mailboxes or code."""
    made = out(app, annex={"x-1": ["bi-mat-1@tinh-mau.gov.vn"], "x-2": ["bi-mat-2@tinh-mau.gov.vn"]})
    letters = {one.agency: one.content.decode() for one in notices.letters(app, made.id)}
    assert "bi-mat-1" in letters["x-1"]
    assert "bi-mat-2" not in letters["x-1"]
    assert "Xã 1" in letters["x-1"]
    codes = [code(app, made, agency) for agency in ("x-1", "x-2", "x-3")]
    assert len(set(codes)) == 3
    assert [code for code in codes if code in letters["x-1"]] == codes[:1]


def test_overdue_and_reminders(app: App) -> None:
    """Who has not acted when the day has passed is overdue until it acts; reminders are counted; acting late is no silence."""
    made = out(app)
    assert notices.overdue(app) == []
    assert isinstance(app.clock, FrozenClock)
    app.clock.advance(4 * 86_400)
    notices.answer(app, made.id, "x-1", "acted")
    notices.answer(app, made.id, "x-2", "received")
    assert [one.agency for _, one in notices.overdue(app)] == ["x-2", "x-3"]
    again = notices_send.remind(app, made.id, channel="telephone")
    assert [one.reminders for one in again.recipients] == [0, 1, 1]
    assert [one.state for one in again.recipients] == ["acted", "received", "sent"]


def test_the_author_does_not_sign_and_urgent_ones_wait_for_confirmation(app: App) -> None:
    """Two people, or a named person's word whose written confirmation is still due."""
    made = notices.draft(app, "Khẩn", to=["x-1"])
    with pytest.raises(NotAllowed):
        notices.approve(app, made.id, signer="AN", number="1", signed_on="2026-11-21")
    with pytest.raises(UsageError):
        notices.approve(app, made.id, signer="Giám đốc")
    with pytest.raises(Conflict):
        notices_send.send(app, made.id, channel="telephone")
    notices.approve(app, made.id, signer="Giám đốc", urgent=True)
    sent = notices_send.send(app, made.id, channel="telephone")
    assert (sent.urgent, sent.confirmed) == (True, False)
    confirmed = notices.approve(app, made.id, signer="Giám đốc", number="13/CB", signed_on="2026-11-21")
    assert (confirmed.state, confirmed.urgent, confirmed.confirmed) == ("sent", True, True)
    with pytest.raises(Conflict):
        notices.approve(app, made.id, signer="Giám đốc", number="14/CB", signed_on="2026-11-21")


def test_recipients_are_agencies_of_today(app: App) -> None:
    """A whole tree at once; one that ended names its successors; an unknown one is refused."""
    assert [one.agency for one in notices.draft(app, "a", below=["tinh"]).recipients] == ["tinh", "x-3", "x-2", "x-1", "so-yt"]
    for to, said in ((["h-a"], "ended"), (["nobody"], "nobody"), ([], "recipients")):
        with pytest.raises(UsageError, match=said):
            notices.draft(app, "a", to=to)
    with pytest.raises(NotFound):
        notices.draft(app, "a", to=["x-1"], incident="INC-2026-0009")
    name = incidents.open_incident(app, {"title": "sự cố"}).id
    assert notices.draft(app, "a", to=["x-1"], incident=name).incident == name


def test_what_does_not_fit_is_refused_and_nothing_recorded(app: App) -> None:
    """Answers of agencies that got nothing, unknown codes and states, times in the future."""
    made = out(app)
    version = made.version
    for call in (
        lambda: notices.answer(app, made.id, "so-yt", "received"),
        lambda: notices.answer(app, made.id, "x-1", "sent"),
        lambda: notices.answer(app, made.id, "x-1", "acted", at=iso(NOW + DAY)),
        lambda: notices_send.send(app, made.id, channel="pigeon"),
        lambda: notices_send.send(app, made.id, channel="document"),
        lambda: notices_send.send(app, made.id, channel="mail"),
        lambda: notices.edit(app, made.id, subject="khác"),
        lambda: notices.acknowledge(app, "ABCDEFGH"),
        lambda: notices.withdraw(app, made.id, reason=" "),
    ):
        with pytest.raises((UsageError, NotFound, Conflict)):
            call()
    assert notices.get(app, made.id).version == version
    assert notices.withdraw(app, made.id, reason="nhầm").state == "withdrawn"
    with pytest.raises(Conflict):
        notices.answer(app, made.id, "x-1", "received")


def test_the_same_code_twice_is_one_answer(app: App) -> None:
    """An answer that comes again changes nothing."""
    made = out(app)
    word = code(app, made, "x-1")
    once, _ = notices.acknowledge(app, word)
    twice, _ = notices.acknowledge(app, word)
    assert twice.version == once.version


def test_three_hundred_recipients_with_annexes(app: App, tmp_path: Path) -> None:
    """310 recipients with an own annex each fit into one notice."""
    rows = [{"id": f"u{n:03d}", "name": f"Đơn vị {n}", "level": "unit"} for n in range(310)]
    record(app.journal, Registry(app.journal).plan("agencies", [Row(n, row) for n, row in enumerate(rows)]), actor="an")
    file = tmp_path / "annex.csv"
    file.write_text("agency,item\n" + "".join(f"u{n:03d},hop-thu-{n}-{k}@tinh-mau.gov.vn\n" for n in range(310) for k in range(12)), encoding="utf-8")
    made = notices.draft(app, "Đợt thư rác", annex=notices.read_annex(app, file))
    assert len(made.recipients) == 310
    assert len({one.code for one in made.recipients}) == 310
    assert notices.listed(app, open_only=True)[0].id == made.id


def test_eight_thousand_mailboxes_in_annexes(app: App) -> None:
    """Annexes that no single fact holds are cut into several; each recipient keeps its own lines."""
    annex = {f"u{n}": [f"hop-thu-rat-dai-cua-don-vi-{n}-so-{k}@tinh-mau.gov.vn" for k in range(26)] for n in range(310)}
    plain = application()
    made = notices.draft(plain, "Đợt thư rác", annex=annex)
    assert {one.agency: one.annex for one in notices.get(plain, made.id).recipients} == annex
    assert made.version > 2
    with pytest.raises(UsageError, match="annex of u1"):
        notices.draft(plain, "quá dài", annex={"u1": ["x" * 70] * 1_000})


def test_an_annex_without_agencies_asks_the_registry(app: App, tmp_path: Path) -> None:
    """Whose a mailbox or public address is, the registry says; of a private address nobody can."""
    for kind, rows in (
        ("mailboxes", [{"address": "a@tinh-mau.gov.vn", "agency": "x-1"}]),
        ("points", [{"id": "p-2", "name": "Điểm 2", "agency": "x-2", "public_addresses": "203.0.113.7"}]),
    ):
        record(app.journal, Registry(app.journal).plan(kind, [Row(n, row) for n, row in enumerate(rows)]), actor="an")
    file = tmp_path / "annex.csv"
    file.write_text("item\nA@tinh-mau.gov.vn\n203.0.113.7\n", encoding="utf-8")
    assert notices.read_annex(app, file) == {"x-1": ["A@tinh-mau.gov.vn"], "x-2": ["203.0.113.7"]}
    file.write_text("item\na@tinh-mau.gov.vn\n192.168.1.1\n", encoding="utf-8")
    with pytest.raises(UsageError, match=r"annex.csv:3: .*192\.168\.1\.1"):
        notices.read_annex(app, file)


def test_codes_cannot_be_worked_out(app: App) -> None:
    """Two notices of the same name and recipients have other codes; without the salt nobody knows them."""
    first, second = (notices.draft(one, "a", to=["x-1"]) for one in (app, application()))
    assert first.id == second.id
    assert code(app, first, "x-1") != second.recipients[0].code
    assert first.salt
    assert code(app, first, "x-1") != code_of(first.id, "x-1", "")


def test_the_signed_document_comes_back_with_its_hash(tmp_path: Path) -> None:
    """Number, date, signer, and the file itself as evidence; an empty or missing file, a link and a date to come are refused."""
    app = open_app(Settings(data_dir=tmp_path / "data", store=StoreSettings(kind="memory")), Actor("an"), clock=FrozenClock(NOW))
    made = notices.draft(app, "a", to=["x-1"])
    (tmp_path / "signed.pdf").write_bytes(b"%PDF-1.7 signed")
    (tmp_path / "empty.pdf").write_bytes(b"")
    (tmp_path / "link.pdf").symlink_to(tmp_path / "signed.pdf")
    with pytest.raises(UsageError, match="future"):
        notices.approve(app, made.id, signer="Giám đốc", number="1/CB", signed_on="2027-11-21")
    for name in ("empty.pdf", "missing.pdf", "link.pdf"):
        with pytest.raises(UsageError):
            notices.approve(app, made.id, signer="Giám đốc", number="1/CB", signed_on="2026-11-21", signed_file=tmp_path / name)
    found = notices.approve(app, made.id, signer="Giám đốc", number="1/CB", signed_on="2026-11-21", signed_file=tmp_path / "signed.pdf")
    assert found.sha256 == sha256(b"%PDF-1.7 signed").hexdigest()
    assert b"".join(app.wiring.evidence().read(found.sha256)) == b"%PDF-1.7 signed"
    notices.exported(app, made.id, [("x-1", "x-1.txt", "ab" * 32)])
    assert notices.get(app, made.id).recipients[0].exported["sha256"] == "ab" * 32


def test_a_team_of_one_may_write_and_sign_once_it_says_so(app: App) -> None:
    """The rule is a fact with its reason; without a reason it does not change."""
    made = notices.draft(app, "a", to=["x-1"])
    assert approval.rule(app).two_person
    with pytest.raises(UsageError):
        approval.set_two_person(app, False, reason=" ")
    with pytest.raises(NotAllowed, match="cannot sign"):
        notices.approve(app, made.id, signer="an", number="1", signed_on="2026-11-21")
    assert approval.set_two_person(app, False, reason="chỉ có một người").reason == "chỉ có một người"
    version = len(app.journal.read(approval.STREAM))
    approval.set_two_person(app, False, reason="again")
    assert len(app.journal.read(approval.STREAM)) == version
    assert notices.approve(app, made.id, signer="an", number="1", signed_on="2026-11-21").state == "approved"


def test_the_author_does_not_sign_under_his_name_in_the_registry(app: App) -> None:
    """The account is registered with a name: that name is the author's as well."""
    made = notices.draft(app, "a", to=["x-1"])
    rows = [Row(2, {"id": "p1", "name": "Nguyễn Văn An", "agency": "tinh", "role": "lead", "account": "an"})]
    record(app.journal, Registry(app.journal).plan("people", rows), actor="an")
    with pytest.raises(NotAllowed):
        notices.approve(app, made.id, signer="nguyễn văn an", number="1", signed_on="2026-11-21")


def test_the_written_confirmation_is_due_the_next_working_day(app: App) -> None:
    """Friday evening's word is due on Monday, and overdue on Tuesday; the confirmed notice is no longer listed."""
    assert isinstance(app.clock, FrozenClock)
    friday = application()
    assert isinstance(friday.clock, FrozenClock)
    friday.clock.advance((from_iso("2026-11-20T14:00:00Z") - NOW) / 1e6)
    made = notices.draft(friday, "Khẩn", to=["x-1"])
    notices.approve(friday, made.id, signer="Giám đốc", urgent=True)
    [waiting] = notices.confirmations(friday)
    assert (waiting.due.isoformat(), waiting.overdue) == ("2026-11-23", False)
    friday.clock.advance(4 * 86_400)
    assert notices.confirmations(friday)[0].overdue
    notices.approve(friday, made.id, signer="Giám đốc", number="3/CB", signed_on="2026-11-23")
    assert notices.confirmations(friday) == []


def test_answers_of_others_meanwhile_stop_nobody(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody records another agency's answer between look and append: both are there."""
    made = out(app)
    append = app.journal.append
    calls: list[int] = []

    def late(stream: str, expected: int, facts: Sequence[NewFact], *, actor: str, scope: str = "real") -> list[Stored]:
        if not calls:
            calls.append(1)
            append(stream, ANY_VERSION, [NewFact("NoticeAnswered", {"agency": "x-2", "state": "received"})], actor="khác")
        return append(stream, expected, facts, actor=actor, scope=scope)

    monkeypatch.setattr(app.journal, "append", late)
    found = notices.answer(app, made.id, "x-1", "received")
    assert [one.state for one in found.recipients] == ["received", "received", "sent"]


@pytest.mark.parametrize("kind", ["memory", "embedded", "elasticsearch"])
def test_kept_lists_say_what_the_facts_say(tmp_path: Path, kind: str, request: pytest.FixtureRequest) -> None:
    """After every step the list, who is overdue and who is silent are those of the facts folded anew; a rebuild finds no difference."""
    store = StoreSettings(kind="memory") if kind == "memory" else StoreSettings(path=tmp_path / "s")
    if kind == "elasticsearch":
        store = request.getfixturevalue("elastic_store")
    with open_app(Settings(data_dir=tmp_path, store=store), Actor("an"), clock=clock_for(kind, NOW)) as app:
        steps: list[Callable[[], object]] = [
            lambda: notices.draft(app, "a", to=["x-1", "x-2"], due_at=iso(NOW - 1)),
            lambda: notices.draft(app, "b", to=["x-1"], scope="exercise:1"),
            lambda: notices.approve(app, "1", signer="b", number="1", signed_on="2026-01-01"),
            lambda: notices_send.send(app, "1", channel="document"),
            lambda: notices.answer(app, "1", "x-1", "received"),
            lambda: notices.answer(app, "1", "x-1", "acted"),
            lambda: notices.answer(app, "1", "x-2", "verified"),
            lambda: notices.draft(app, "c", to=["x-1"]),
            lambda: notices.withdraw(app, "3", reason="nhầm"),
            lambda: notices.draft(app, "d", annex={f"u{n}": [f"hop-thu-cua-don-vi-{n}-so-{k}@tinh-mau.gov.vn" for k in range(26)] for n in range(310)}),
        ]
        for step in steps:
            step()
            true = [fold(stream.removeprefix("notice/"), [one.fact for one in facts]) for stream, facts in app.journal.under("notice/")]
            real = [one for one in true if one.scope == "real"]
            assert sorted(notices.every(app), key=lambda one: one.id) == true
            assert [one.id for one in notices.listed(app)] == [one.id for one in real][::-1]
            late = [(one.id, two.agency) for one in real for two in one.overdue(iso(NOW))]
            assert [(one.id, two.agency) for one, two in notices.overdue(app)] == late
            assert [(one.id, two.agency) for one, two in notices.unanswered(app)] == [(one.id, two.agency) for one in real[::-1] for two in one.unanswered()]
            open_ = [one.id for one in real if one.state != "withdrawn" and any(two.state not in ("acted", "verified") for two in one.recipients)]
            assert [one.id for one in notices.listed(app, open_only=True)] == open_[::-1]
        assert app.lists.rebuild(projection()).ok


def test_two_leads_approving_at_once_are_told(tmp_path: Path) -> None:
    """One signature counts; the other lead sees what was recorded meanwhile, and nothing is half done."""
    settings = Settings(data_dir=tmp_path, store=StoreSettings(path=tmp_path / "s"))
    with open_app(settings, Actor("an"), clock=FrozenClock(NOW)) as first, open_app(settings, Actor("binh"), clock=FrozenClock(NOW)) as second:
        made = notices.draft(first, "a", to=["x-1"])
        both = threading.Barrier(2)
        said: list[str] = []

        def approve(app: App, number: str) -> None:
            both.wait(150)
            try:
                notices.approve(app, made.id, signer="Giám đốc", number=number, signed_on="2026-11-20")
                said.append(number)
            except Conflict as error:
                said.append(str(error.message))

        threads = [threading.Thread(target=approve, args=pair) for pair in ((first, "1/CB"), (second, "2/CB"))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        won = [one for one in said if one.endswith("/CB")]
        assert len(won) == 1
        assert len(said) == 2
        assert notices.get(first, made.id).number == won[0]
        assert len(first.journal.read("notice/" + made.id)) == made.version + 1


def test_texts_that_are_too_long_are_named(app: App) -> None:
    """Ten million characters in any field: refused by the field's name, and nothing recorded."""
    made = out(app)
    long = "x" * 10_000_000
    calls: list[Callable[[], object]] = [
        lambda: notices.draft(app, long, to=["x-1"]),
        lambda: notices.draft(app, "a", body=long, to=["x-1"]),
        lambda: notices.answer(app, made.id, "x-1", "acted", text=long),
        lambda: notices_send.remind(app, made.id, channel="paper", reference=long),
        lambda: notices_send.second_letter(app, made.id, signer=long, number="1", signed_on="2026-11-20", channel="paper"),
        lambda: notices.withdraw(app, made.id, reason=long),
    ]
    for call in calls:
        with pytest.raises(UsageError, match="too many"):
            call()
    assert notices.get(app, made.id).version == made.version


def test_facts_of_older_versions_still_read(app: App) -> None:
    """Recipients inside the draft, sendings without addresses: as they were recorded once."""
    facts = [
        NewFact("NoticeDrafted", {"subject": "a", "recipients": [{"agency": "x-1", "annex": ["k"]}]}),
        NewFact("NoticeApproved", {"signer": "b", "number": "1", "signed_on": "2026-11-01", "urgent": False}),
        NewFact("NoticeSent", {"recipients": ["x-1"], "channel": "mail"}),
        NewFact("SomethingLater", {}),
    ]
    stored = app.journal.append("notice/TB-2025-0001", 0, facts, actor="an")
    found = fold("TB-2025-0001", [one.fact for one in stored])
    assert (found.state, found.recipients[0].state, found.recipients[0].annex, found.orders, found.version) == ("sent", "sent", ["k"], [], 4)


STEPS = {
    "approve": lambda app, to: notices.approve(app, "1", signer="Giám đốc", number="1", signed_on="2026-11-20"),
    "urgent": lambda app, to: notices.approve(app, "1", signer="Giám đốc", urgent=True),
    "document": lambda app, to: notices_send.send(app, "1", channel="document", to=[to]),
    "telephone": lambda app, to: notices_send.send(app, "1", channel="telephone"),
    "remind": lambda app, to: notices_send.remind(app, "1", channel="paper", to=[to]),
    "second": lambda app, to: notices_send.second_letter(app, "1", signer="Giám đốc", number="2", signed_on="2026-11-21", channel="document"),
    "received": lambda app, to: notices.answer(app, "1", to, "received"),
    "acted": lambda app, to: notices.answer(app, "1", to, "acted"),
    "verified": lambda app, to: notices.answer(app, "1", to, "verified"),
    "withdraw": lambda app, to: notices.withdraw(app, "1", reason="nhầm"),
    "edit": lambda app, to: notices.edit(app, "1", subject="khác"),
}
AFTER = {"draft": {"draft", "approved", "withdrawn"}, "approved": {"approved", "sent", "withdrawn"}, "sent": {"sent", "withdrawn"}, "withdrawn": {"withdrawn"}}


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from([[], [("approve", "x-1")], [("urgent", "x-1"), ("document", "x-2")], [("approve", "x-1"), ("document", "x-1")]]),
    st.lists(st.tuples(st.sampled_from(sorted(STEPS)), st.sampled_from(["x-1", "x-2", "x-3"])), max_size=20),
)
def test_whatever_is_done_in_whatever_order(begun: list[tuple[str, str]], steps: list[tuple[str, str]]) -> None:
    """Nothing goes back, nothing goes out unsigned, what is refused records nothing, and who was asked and is silent is exactly who is listed."""
    app = application()
    before = notices.draft(app, "a", to=["x-1", "x-2", "x-3"])
    for name, to in begun + steps:
        assert isinstance(app.clock, FrozenClock)
        app.clock.advance(60)
        try:
            STEPS[name](app, to)
            refused = False
        except SocError:
            refused = True
        now = notices.get(app, "1")
        assert now.version == before.version if refused else now.version > before.version
        assert now.state in AFTER[before.state]
        for old, new in zip(before.recipients, now.recipients, strict=True):
            assert WAY.index(new.state) >= WAY.index(old.state)
            assert all(new.at[state] == at for state, at in old.at.items())
            assert not new.sent or now.approved_at
            assert bool(new.sent) == (new.state != "waiting")
        silent = {one.agency for one in now.recipients if one.sent and not one.answers} if now.state == "sent" else set()
        assert {one.agency for one in now.unanswered()} == silent
        assert now.confirmed or now.state in ("draft", "withdrawn") or now.urgent
        before = now
