"""What is recorded under short English names, in the words of the reader: channels, legal classes, flags, contents of facts."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from soc.cli import _show
from soc.i18n import gettext as _

_LONG = ("how", "record", "call")
"""The words of a playbook, which stand in the task itself."""
_MOST = 120
# Reference: 2026-11-21T08:54:33.821093Z
_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,6})?Z")


def channel(name: str) -> str:
    """How something came or went; unknown ones are shown as they are."""
    words = {
        "telephone": _("by telephone"),
        "letter": _("by letter"),
        "hotline": _("by hotline"),
        "mail": _("by mail"),
        "alert": _("by alert"),
        "national-centre": _("by the national centre"),
        "in-person": _("in person"),
        "web": _("by web"),
        "other": _("by another way"),
    }
    return words.get(name, name)


def legal_class(name: str) -> str:
    """The class of the law."""
    words = {"undecided": _("undecided"), "ordinary": _("ordinary incident"), "serious": _("SERIOUS incident")}
    return words.get(name, name)


def flag(name: str) -> str:
    """What of an incident bears on its clocks."""
    words = {
        "personal_data": _("personal data"),
        "national_security": _("national security"),
        "beyond_capacity": _("beyond the agency's capacity"),
        "complex": _("complex"),
    }
    return words.get(name, name)


def fact(kind: str) -> str:
    """What was recorded; kinds without a word of their own are shown as they are."""
    words = {
        "AlertsAttached": _("alerts tied to it"),
        "BlocklistApproved": _("blocking list approved"),
        "BlocklistProposed": _("blocking list proposed"),
        "BlocklistWithdrawn": _("blocking list withdrawn"),
        "BlocklistWritten": _("blocking list written for gateways"),
        "CheckpointHeads": _("checkpoint prepared"),
        "CheckpointSigned": _("checkpoint signed"),
        "DefectLifted": _("brought back after a rule's defect"),
        "DefectSettled": _("withdrawn with a rule's defect"),
        "EnrichmentBegun": _("the registry is asked anew of stored events"),
        "EnrichmentDone": _("the registry was asked anew of stored events"),
        "EventsReclassified": _("stored events got another class"),
        "EvidenceAdded": _("evidence added"),
        "EvidenceChecked": _("evidence checked"),
        "EvidenceHandedOver": _("evidence handed over"),
        "EvidenceRegistered": _("evidence registered"),
        "FactUndone": _("taken back"),
        "GroupAcknowledged": _("group acknowledged"),
        "GroupAssigned": _("group given to somebody"),
        "GroupClosed": _("group closed"),
        "GroupReopened": _("group reopened"),
        "HandbookPrinted": _("handbook printed"),
        "HandoverAccepted": _("shift taken over"),
        "HandoverWritten": _("shift handed over"),
        "IncidentAbsorbed": _("another incident merged into it"),
        "IncidentAssigned": _("incident given to somebody"),
        "IncidentEdited": _("incident changed"),
        "IncidentLinked": _("incident linked"),
        "IncidentMoved": _("state changed"),
        "IncidentOpened": _("incident opened"),
        "IncidentReleased": _("a merged incident taken out again"),
        "IncidentReserved": _("number taken for an incident"),
        "IncidentRestored": _("incident brought back"),
        "IncidentUnlinked": _("link removed"),
        "IncidentWithdrawn": _("incident withdrawn with a rule's defect"),
        "MailboxRead": _("mailbox read"),
        "MessageAttempted": _("message tried"),
        "MessageCancelled": _("message cancelled"),
        "MessageDue": _("message due"),
        "MessageFailed": _("message not taken"),
        "MessageGivenUp": _("message given up"),
        "MessageHeld": _("message held"),
        "MessageRetried": _("message to be tried again"),
        "MessageSent": _("message sent"),
        "MessageUnknown": _("message perhaps sent"),
        "NoteAdded": _("note"),
        "NoticeAnswered": _("recipient answered"),
        "NoticeApproved": _("notice signed"),
        "NoticeDrafted": _("notice drafted"),
        "NoticeExported": _("letters of a notice written"),
        "NoticeQueued": _("mails of a notice put out"),
        "NoticeReminded": _("recipients reminded"),
        "NoticeSecondLetter": _("second letter"),
        "NoticeSent": _("notice sent"),
        "NoticeWithdrawn": _("notice withdrawn"),
        "ObservablesAdded": _("observables added"),
        "ObservablesIgnored": _("observables taken out"),
        "PageAcknowledged": _("call acknowledged"),
        "PageEscalated": _("next one called at once"),
        "PageExhausted": _("nobody left to call"),
        "PagePassed": _("call passed on"),
        "PageRaised": _("call raised"),
        "PageSent": _("somebody called"),
        "PartitionsRemoved": _("old events removed"),
        "PolicyDisabled": _("policy switched off"),
        "PolicyDone": _("policy carried out"),
        "PolicyEnabled": _("policy switched on"),
        "PolicyFired": _("policy applies"),
        "PolicyTaken": _("policy looked at alerts"),
        "RecipientsAdded": _("recipients added"),
        "ReclassificationBegun": _("stored events are given another class"),
        "RegistryImported": _("registry imported"),
        "ReminderDue": _("reminder due"),
        "ReplyDiscarded": _("reply discarded"),
        "ReplySettled": _("reply settled"),
        "ReplyTaken": _("reply taken in"),
        "ReportDrafted": _("report drafted"),
        "ReportExported": _("report written to a file"),
        "ReportRecorded": _("report recorded as sent"),
        "ReportSent": _("report sent"),
        "ReportSigned": _("report signed"),
        "SigningKeyAdded": _("signing key added"),
        "SituationReported": _("situation report made"),
        "SituationSent": _("situation report sent"),
        "SuppressionAdded": _("suppression added"),
        "SuppressionEnded": _("suppression ended"),
        "TaskAdded": _("task added"),
        "TaskFinished": _("task done"),
        "TasksDue": _("tasks due"),
        "TwoPersonApprovalSet": _("rule of approval set"),
        "ValueAllowed": _("value never to be blocked"),
        "ValueNoLongerAllowed": _("value may be blocked again"),
        "VerdictGiven": _("verdict"),
        "WarningClosed": _("warning answered"),
        "WarningReceived": _("warning of the national centre"),
    }
    return words.get(kind, kind)


def named(names: Mapping[str, str], ids: list[str]) -> str:
    """Ids with the names that the registry has for them."""
    return ", ".join(f"{names[one]} ({one})" if names.get(one) else one for one in ids)


def content(data: Mapping[str, Any], zone: str) -> str:
    """What a fact says, on one line: times by the clock of the zone, long texts cut."""
    parts = []
    for key, value in data.items():
        if key not in _LONG and value not in ("", [], {}, None):
            parts.append(f"{key}={_value(value, zone)}")
    return " ".join(parts)


def _value(value: Any, zone: str) -> str:
    from soc.cli._io import cell

    if isinstance(value, str) and _MOMENT.fullmatch(value):
        return _show.when(value, zone)
    text = " ".join(cell(value).split())
    return text if len(text) <= _MOST else text[: _MOST - 1] + "…"


def verdict(code: str) -> str:
    """What people said an alert was, in words; the code itself where there is none for it."""
    words = {
        "true-positive": _("true-positive"),
        "false-positive": _("false-positive"),
        "benign": _("benign"),
        "duplicate": _("duplicate"),
        "test": _("test"),
    }
    return words.get(code, code)
