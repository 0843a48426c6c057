"""A message as mail: headers that nothing in a text can break out of, plain text, attachments."""

from __future__ import annotations

from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime

from soc.clock import to_datetime
from soc.config import MailSettings
from soc.model.message import Message, one_line
from soc.ports import AttachedFile

_POLICY = SMTP.clone(cte_type="7bit", max_line_length=76)


def message_id(message: Message, settings: MailSettings) -> str:
    """The Message-ID: the same for every attempt, so that servers and readers can tell a repetition."""
    return f"<{message.id}@{settings.sender.rpartition('@')[2] or 'soc.invalid'}>"


def letter(message: Message, to: str, files: tuple[AttachedFile, ...], settings: MailSettings, now_us: int) -> EmailMessage:
    """The mail of a message. Shape: headers folded and encoded (RFC 2047), text in base64, one part per file.

    Source: RFC 5322; RFC 3834 section 5 (Auto-Submitted); RFC 2183 (file names).
    """
    mail = EmailMessage(policy=_POLICY)
    mail["Message-ID"] = message_id(message, settings)
    mail["Date"] = format_datetime(to_datetime(now_us))
    mail["From"] = Address(one_line(settings.sender_name), addr_spec=settings.sender)
    mail["To"] = Address(addr_spec=to)
    if settings.reply_to:
        mail["Reply-To"] = Address(addr_spec=settings.reply_to)
    mail["Subject"] = one_line(message.subject)
    mail["Auto-Submitted"] = "auto-generated"
    mail["X-Soc-Message"] = message.id
    mail["X-Soc-Scope"] = one_line(message.scope)
    mail.set_content(message.body, subtype="plain", charset="utf-8", cte="base64")
    for file in files:
        main, _, sub = file.type.partition("/")
        if main in ("text", "message", "multipart"):  # these have rules of their own; a file is bytes
            main, sub = "application", "octet-stream"
        mail.add_attachment(file.data, maintype=main, subtype=sub, filename=file.name, cte="base64")
    if files:
        mail.set_boundary(f"=_{message.id}")  # never part of base64, and the same for every attempt
    return mail
