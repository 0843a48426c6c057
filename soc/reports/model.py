"""The reports of an incident as the fold of its stream: drafts with their versions, exports, the signed document, what was sent.

Facts of the stream `incident/INC-…`: `ReportDrafted`, `ReportExported`, `ReportSigned`, `ReportSent` (with the `ReportRecorded` of
each obligation that it meets). Numbers, dates and texts are carried from the first report to the last.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from soc.model.fact import Fact

DRAFTED, SIGNED, SENT = "drafted", "signed", "sent"


class Version(msgspec.Struct, frozen=True):
    """One state of a draft. `hash`: SHA-256 of its facts as JSON with sorted keys; `fields`: what the author gave for this one."""

    number: int
    at: str
    actor: str
    hash: str
    facts: dict[str, Any]
    fields: dict[str, str] = {}
    missing: list[str] = []


class Export(msgspec.Struct, frozen=True):
    """A file that was made of a version."""

    at: str
    version: int
    format: str
    name: str
    sha256: str
    actor: str
    template: str = ""
    """SHA-256 of the template."""


class Signed(msgspec.Struct, frozen=True):
    """The document as it was signed elsewhere and imported back."""

    at: str
    number: str
    signed_on: str
    signer: str
    sha256: str
    evidence: str
    name: str
    version: int
    actor: str


class Sent(msgspec.Struct, frozen=True):
    """One sending, as a person recorded it."""

    at: str
    to: str
    channel: str
    reference: str
    obligations: list[str]
    actor: str
    behalf: str = ""
    word_of: str = ""
    """Sent before it was signed, on this person's word."""


class Report(msgspec.Struct):
    """One report of an incident. `ordinal`: the how-many-eth of its kind."""

    id: str
    kind: str
    ordinal: int = 1
    versions: list[Version] = []
    exports: list[Export] = []
    signed: Signed | None = None
    sent: list[Sent] = []

    @property
    def state(self) -> str:
        """How far it is; what went out unsigned is sent, and its signature is due (`confirmed`)."""
        return SENT if self.sent else SIGNED if self.signed else DRAFTED

    @property
    def confirmed(self) -> bool:
        """Whether a signed document is there."""
        return self.signed is not None

    @property
    def number(self) -> str:
        """Number and sign of the signed document ("" = none yet)."""
        return self.signed.number if self.signed else ""


def fold(facts: Iterable[Fact]) -> list[Report]:
    """The reports of an incident's stream, in order of their first draft."""
    found: dict[str, Report] = {}
    for fact in facts:
        if fact.kind == "ReportDrafted":
            _drafted(found, fact)
        elif fact.kind in _APPLY and (report := found.get(str(fact.data.get("report", "")))) is not None:
            _APPLY[fact.kind](report, fact)
    return list(found.values())


def _drafted(found: dict[str, Report], fact: Fact) -> None:
    data = fact.data
    report = found.setdefault(str(data["report"]), Report(str(data["report"]), str(data["kind"]), int(data.get("ordinal", 1))))
    missing = [str(one) for one in data.get("missing", [])]
    report.versions.append(
        Version(int(data["version"]), fact.at, fact.actor, str(data["hash"]), data["facts"], dict(data.get("fields", {})), missing),
    )


def _exported(report: Report, fact: Fact) -> None:
    data = fact.data
    report.exports.append(
        Export(fact.at, int(data["version"]), str(data["format"]), str(data["name"]), str(data["sha256"]), fact.actor, str(data.get("template", ""))),
    )


def _signed(report: Report, fact: Fact) -> None:
    texts = {name: str(fact.data.get(name, "")) for name in ("number", "signed_on", "signer", "sha256", "evidence", "name")}
    report.signed = Signed(at=fact.at, actor=fact.actor, version=int(fact.data.get("version", 0)), **texts)


def _sent(report: Report, fact: Fact) -> None:
    data = fact.data
    report.sent.append(
        Sent(
            str(data.get("at") or fact.at),
            str(data.get("to", "")),
            str(data.get("channel", "")),
            str(data.get("reference", "")),
            [str(one) for one in data.get("obligations", [])],
            fact.actor,
            fact.behalf.person if fact.behalf else "",
            str(data.get("word_of", "")),
        )
    )


_APPLY = {"ReportExported": _exported, "ReportSigned": _signed, "ReportSent": _sent}


def carried(reports: Iterable[Report]) -> dict[str, str]:
    """What people wrote into drafts so far, the last word on each field."""
    written = [(version.at, at, version) for report in reports for at, version in enumerate(report.versions)]
    fields: dict[str, str] = {}
    for _, _, version in sorted(written, key=lambda one: (one[0], one[1])):
        fields |= version.fields
    return {name: text for name, text in fields.items() if text}
