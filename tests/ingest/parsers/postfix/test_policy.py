"""What policy servers say of senders is read to the fields that Postfix' own lines have."""

from __future__ import annotations

import pytest

from soc.ingest.framing import frame
from soc.ingest.parser import Context
from soc.ingest.parsers.postfix.parser import PARSER
from soc.model.event import Doc

NOW_US = 1_795_222_800_000_000
WEIGHED = {"source.ip": "192.0.2.1", "email.from.address": ["a@b.example"]}


def said(program: str, message: str) -> Doc:
    """The document of a message of a program."""
    return PARSER.parse(frame(f"Nov 20 08:00:00 mx1 {program}[7]: {message}"), Context(NOW_US)).doc


@pytest.mark.parametrize(
    ("action", "kind", "outcome"),
    [("action=greylist, reason=new", "denied", "failure"), ("action=pass, reason=triplet found, delay=492", "allowed", "success")],
)
@pytest.mark.parametrize("program", ["postgrey", "postfix/postgrey"])
@pytest.mark.parametrize("network", ["", "/32"])
def test_postgrey(program: str, network: str, action: str, kind: str, outcome: str) -> None:
    """Who was asked to come again and who passed, under either program name."""
    doc = said(program, f"{action}, client_name=mx.b.example, client_address=192.0.2.1{network}, sender=a@b.example, recipient=c@d.example")
    assert WEIGHED.items() <= doc.items()
    assert (doc["event.dataset"], doc["source.domain"], doc["email.to.address"]) == ("postgrey.log", "mx.b.example", ["c@d.example"])
    assert (doc["event.type"], doc["event.outcome"]) == ([kind], outcome)


@pytest.mark.parametrize(
    ("program", "message", "result"),
    [
        (
            "policyd-spf",
            "prepend Received-SPF: SoftFail (mailfrom) identity=mailfrom; client-ip=192.0.2.1; helo=h; envelope-from=a@b.example; receiver=<UNKNOWN>",
            "softfail",
        ),
        ("policyd-spf", "Pass; identity=mailfrom; client-ip=192.0.2.1; helo=h; envelope-from=a@b.example; receiver=c@d.example", "pass"),
        (
            "policyd-spf",
            ": prepend Authentication-Results: mx; spf=fail (not authorized) smtp.mailfrom=b (client-ip=192.0.2.1; helo=h; envelope-from=a@b.example; receiver=c)",
            "fail",
        ),
        (
            "postfix/policy-spf",
            'Policy action=PREPEND Received-SPF: pass (b: 192.0.2.1 is ok) receiver=mx; identity=mailfrom; envelope-from="a@b.example"; helo=h; client-ip=192.0.2.1',
            "pass",
        ),
    ],
)
def test_spf(program: str, message: str, result: str) -> None:
    """The result of either policy server, with the client and the sender that it is about."""
    doc = said(program, message)
    assert WEIGHED.items() <= doc.items()
    assert (doc["event.dataset"], doc["event.action"], doc["postfix.spf"], doc["postfix.helo"]) == ("policyd-spf.log", f"spf-{result}", result, "h")
    assert doc.get("event.outcome") == {"pass": "success", "fail": "failure"}.get(result)


def test_a_refusal_for_spf() -> None:
    """The reply that the policy server gives Postfix."""
    doc = said("policyd-spf", "550 5.7.23 Message rejected due to: SPF fail - not authorized.")
    assert (doc["event.action"], doc["event.type"]) == ("spf-reject", ["denied"])


@pytest.mark.parametrize(
    ("program", "message", "fields"),
    [
        ("opendkim", "1A2B3C4D5E: DKIM-Signature field added (s=mail, d=b.example)", {"event.action": "dkim-sign", "postfix.dkim_domain": "b.example"}),
        ("opendkim", "1A2B3C4D5E: DKIM verification successful", {"event.action": "dkim-verify", "event.outcome": "success"}),
        ("opendkim", "1A2B3C4D5E: bad signature data", {"event.action": "dkim-verify", "event.outcome": "failure"}),
        ("opendkim", "1A2B3C4D5E: mx.b.example [192.0.2.1] not internal", {"source.ip": "192.0.2.1", "source.domain": "mx.b.example"}),
        ("opendmarc", "1A2B3C4D5E: b.example fail", {"event.action": "dmarc-fail", "event.outcome": "failure", "postfix.dmarc_domain": "b.example"}),
        ("opendmarc", "1A2B3C4D5E: b.example none", {"event.action": "dmarc-none"}),
    ],
)
def test_signatures_and_dmarc(program: str, message: str, fields: Doc) -> None:
    """What a milter found about the message of a queue id."""
    doc = said(program, message)
    assert fields.items() <= doc.items()
    assert doc["email.local_id"] == "1A2B3C4D5E"


@pytest.mark.parametrize("program", ["postgrey", "policyd-spf", "opendkim", "opendmarc"])
@pytest.mark.parametrize("message", ["", "Process Backgrounded", "action=", "NOTHING: pass", "client-ip=x; envelope-from=; helo=", "a [b] not internal"])
def test_other_lines_stay_lines(program: str, message: str) -> None:
    """Nothing is made up from what says nothing."""
    doc = said(program, message)
    assert not {"source.ip", "email.from.address", "email.local_id", "event.action"} & doc.keys()
