"""Joins the lines of one mail into one message event, by queue id.

A mail enters the queue (smtpd, pickup), may pass a content filter that puts it back under another queue id (amavis), is
delivered, bounced or blocked recipient by recipient, and leaves the queue (`removed`). One event says what the gateway
decided: a refusal is finished at once, everything else when its last queue entry is removed, or when nothing was heard
for `TIMEOUT_S`.

Keys of the state, all below the host that logged (`HOST 0x1f …`):
  QUEUEID    `M` + message, or `R` + key of the message that this queue id belongs to (what the content filter put back)
  #HH        marks of the messages finished last, so that stragglers and resent lines open nothing; 64 rings of bounded size
  #filter    this host has a content filter: a message from the machine itself may be a part of another one
  #mid…, #amavis…   a filter's verdict that names no queue id, kept for the message that it belongs to
"""

from __future__ import annotations

from collections.abc import MutableMapping
from hashlib import blake2b

import msgspec

from soc.ingest.parser import Parsed
from soc.ingest.parsers.postfix import message as mails
from soc.ingest.parsers.postfix.message import Mail
from soc.ingest.parsers.postfix.outcome import finished
from soc.ingest.parsers.postfix.queued import is_queue_id
from soc.model.event import Doc

TIMEOUT_S = 7200.0
"""Postfix retries a deferred mail at the latest every 4,000 s (maximal_backoff_time): two missed retries."""
_MARK = 12
_RING = 128 * _MARK
_RINGS = 64
_FILTER_RESTS = b"\x0c"
"""How often `#filter` outlives the timeout: a day without a message through the content filter."""
_REOPEN_S = 3600
_MOST_QUEUES = 64
"""Queue entries of one message; a loop of filters must not grow its state without end."""

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Mail).decode
_encode_verdict = msgspec.msgpack.Encoder().encode
_decode_verdict = msgspec.msgpack.Decoder(tuple[str, str]).decode

_LIVE: dict[bytes, Mail] = {}
"""What states decode to, so that the next line of a mail need not: each is taken out by whoever changes it."""
_MOST_LIVE = 512

_AT_ONCE = frozenset(("reject", "discard", "milter-reject", "milter-discard", "proxy-reject"))
_STARTS = frozenset(("accepted", "submitted"))

States = MutableMapping[str, bytes]


class MailAssembler:
    """Folds the lines of Postfix, amavis, SpamAssassin and rspamd into message events."""

    name = "postfix"
    version = 1
    timeout_s = TIMEOUT_S

    def fold(self, states: States, event_id: str, ts_us: int, doc: Doc) -> list[Parsed]:
        """Take in one line; the messages that it finished (at most one)."""
        queue_id = doc.get("email.local_id") or doc.get("amavis.queued_as") or ""
        host = doc.get("host.hostname", "")
        if not queue_id or not is_queue_id(queue_id):
            return self._without_queue_id(states, host, event_id, ts_us, doc)
        key = f"{host}\x1f{queue_id}"
        state = states.get(key)
        if state is not None and state[:1] == b"R":
            main = state[1:].decode()
            state = states.get(main)
            if state is None:
                del states[key]
            else:
                key = main
        if state is None:
            if _was_finished(states, host, _mark(key), ts_us, doc) or doc.get("event.action") == "removed":
                return []
            mail = Mail(host, queue_id, ts_us, ts_us, [queue_id])
        else:
            mail = _LIVE.pop(state) if state in _LIVE else _decode(state[1:])
        if not mails.saw(mail, _line_mark(ts_us, doc), event_id, ts_us):
            return []
        step = mails.take(mail, doc, queue_id)
        inner = doc.get("postfix.queued_as") or doc.get("amavis.queued_as") or doc.get("postfix.forwarded_as")
        if inner and inner != queue_id:
            _link(states, key, mail, inner, doc)
        if step == "final" or (not mail.open and not _may_belong_to_another(states, mail)):
            return _finish(states, mail)
        state = states[key] = b"M" + _encode(mail)
        if len(_LIVE) >= _MOST_LIVE:
            _LIVE.clear()
        _LIVE[state] = mail
        return []

    def expire(self, states: States, key: str) -> list[Parsed]:
        """Finish the message of `key` as it stands; let redirections, marks and verdicts go when nothing needs them."""
        state = states[key]
        host, _, what = key.partition("\x1f")
        if what[:1] == "#":
            if what == "#filter" and state > b"\x00":
                states[key] = bytes([state[0] - 1])
            elif what.startswith("#amavis"):
                return self._expire_verdict(states, host, key, state)
            return []
        if state[:1] == b"R":
            if state[1:].decode() in states:
                states[key] = state
            return []
        return _finish(states, _decode(state[1:]))

    # lines that name no queue id ---------------------------------------------------------------------------------

    def _without_queue_id(self, states: States, host: str, event_id: str, ts_us: int, doc: Doc) -> list[Parsed]:
        module = doc.get("event.module")
        if module == "postfix":
            action = doc.get("event.action")
            if action in _AT_ONCE and mails.is_of_a_mail(doc):
                return self._refused(states, host, event_id, ts_us, doc)
            if action == "proxy-accept" and "postfix.queued_as" in doc:
                return self._passed_proxy(states, event_id, ts_us, doc)
        elif module == "spamassassin":
            if "spamassassin.verdict" in doc and (message_id := doc.get("email.message_id")):
                states[_verdict_key(host, message_id)] = _encode_verdict((doc["spamassassin.verdict"], doc["spamassassin.score"]))
        elif module == "amavis" and doc.get("event.action", "").startswith("blocked-") and "amavis.id" in doc:
            return self._blocked_before_queue(states, host, event_id, ts_us, doc)
        return []

    def _refused(self, states: States, host: str, event_id: str, ts_us: int, doc: Doc) -> list[Parsed]:
        """A refusal in the SMTP dialogue: one decision, one message."""
        mark = _line_mark(ts_us, doc)
        if _finished_at(states, host, mark) >= 0:
            return []
        mail = Mail(host, "", ts_us, ts_us, [])
        mails.saw(mail, mark, event_id, ts_us)
        mails.take(mail, doc, "")
        filter_id = _filter_id(doc.get("event.reason", ""))
        if filter_id:
            amavis = f"{host}\x1f#amavis\x1f{filter_id}"
            if (kept := states.get(amavis)) is not None:
                mails.merge(mail, _decode(kept))
                del states[amavis]
            _note_finished(states, host, _mark("amavis" + filter_id), ts_us)
        if not mails.is_temporary(doc):
            mails.refuse(mail, doc)
        _note_finished(states, host, mark, ts_us)
        event = finished(mail, f"postfix.message\x1f{host}\x1fNOQUEUE\x1f{ts_us // 1_000_000}\x1f{mark.hex()}")
        return [event] if event is not None else []

    def _passed_proxy(self, states: States, event_id: str, ts_us: int, doc: Doc) -> list[Parsed]:
        """A before-queue filter let a message pass: what it was queued as is the message, this line knows the client."""
        line = {name: value for name, value in doc.items() if name != "postfix.queued_as"}
        line["email.local_id"] = doc["postfix.queued_as"]
        line["event.action"] = "accepted"
        return self.fold(states, event_id, ts_us, line)

    def _blocked_before_queue(self, states: States, host: str, event_id: str, ts_us: int, doc: Doc) -> list[Parsed]:
        """The filter blocked what is in no queue: the refusal that smtpd logs will name amavis' id."""
        identity = doc["amavis.id"]
        if _finished_at(states, host, _mark("amavis" + identity)) < 0:
            mail = Mail(host, "", ts_us, ts_us, [])
            mails.saw(mail, _line_mark(ts_us, doc), event_id, ts_us)
            mails.take(mail, doc, "")
            states.setdefault(f"{host}\x1f#amavis\x1f{identity}", _encode(mail))
        return []

    def _expire_verdict(self, states: States, host: str, key: str, state: bytes) -> list[Parsed]:
        mail = _decode(state)
        del states[key]
        mail.refused = True
        identity = key.rpartition("\x1f")[2]
        _note_finished(states, host, _mark("amavis" + identity), mail.end_us)
        event = finished(mail, f"postfix.message\x1f{host}\x1famavis\x1f{identity}\x1f{mail.start_us // 1_000_000}")
        return [event] if event is not None else []


# one message under several queue ids ----------------------------------------------------------------------------------


def _link(states: States, key: str, mail: Mail, inner: str, doc: Doc) -> None:
    """Make the queue entry `inner` a part of `mail`, where the message was put back into the queue of this very host."""
    forwarded = "postfix.forwarded_as" in doc
    if doc.get("event.module") == "postfix" and not forwarded and not mails.is_loopback(doc.get("destination.ip", "")):
        return  # handed to another server: its own gateway decision
    if inner in mail.open or inner in mail.closed or len(mail.open) + len(mail.closed) >= _MOST_QUEUES:
        return
    filter_key = f"{mail.host}\x1f#filter"
    if not forwarded and states.get(filter_key) != _FILTER_RESTS:
        states[filter_key] = _FILTER_RESTS
    inner_key = f"{mail.host}\x1f{inner}"
    state = states.get(inner_key)
    if state is None:
        if _finished_at(states, mail.host, _mark(inner_key)) >= 0:
            mail.closed.append(inner)
            return
        mail.open.append(inner)
    elif state[:1] == b"R":
        return
    else:
        other = _decode(state[1:])
        mails.merge(mail, other)
        for queue_id in other.open + other.closed:
            states[f"{mail.host}\x1f{queue_id}"] = b"R" + key.encode()
    states[inner_key] = b"R" + key.encode()


def _may_belong_to_another(states: States, mail: Mail) -> bool:
    """Whether a message that came from this machine itself may be what a content filter put back, not linked yet."""
    return mail.loopback and not mail.client_ip and len(mail.closed) == 1 and not mail.verdict and f"{mail.host}\x1f#filter" in states


def _finish(states: States, mail: Mail) -> list[Parsed]:
    if mail.message_id:
        verdict_key = _verdict_key(mail.host, mail.message_id)
        verdict = states.get(verdict_key)
        if verdict is not None:
            mails.judge_by(mail, *_decode_verdict(verdict))
            del states[verdict_key]
    for queue_id in (mail.queue_id, *(q for q in mail.open + mail.closed if q != mail.queue_id)):
        key = f"{mail.host}\x1f{queue_id}"
        if key in states:
            del states[key]
        _note_finished(states, mail.host, _mark(key), mail.end_us)
    event = finished(mail)
    return [event] if event is not None else []


# what is finished -----------------------------------------------------------------------------------------------------


def _was_finished(states: States, host: str, mark: bytes, ts_us: int, doc: Doc) -> bool:
    """Whether a line is a straggler of a message that is done. A later beginning under the same queue id is a new message."""
    at = _finished_at(states, host, mark)
    if at < 0:
        return False
    action = doc.get("event.action")
    later = ts_us // 1_000_000 - at
    return not ((later > 1 and action in _STARTS) or (later > _REOPEN_S and action == "queue-active"))


def _ring_key(host: str, mark: bytes) -> str:
    return f"{host}\x1f#{mark[0] % _RINGS:02x}"


def _mark(what: str) -> bytes:
    """The 8 bytes by which the rings know something."""
    return blake2b(what.encode("utf-8", "surrogatepass"), digest_size=8).digest()


def _finished_at(states: States, host: str, mark: bytes) -> int:
    """When something was finished (seconds since 1970), -1 when it was not, as far as the ring remembers."""
    ring = states.get(_ring_key(host, mark))
    if ring is None:
        return -1
    at = ring.rfind(mark)
    while at >= 0 and at % _MARK:
        at = ring.rfind(mark, 0, at + 7)
    return int.from_bytes(ring[at + 8 : at + _MARK], "big") if at >= 0 else -1


def _note_finished(states: States, host: str, mark: bytes, ts_us: int) -> None:
    key = _ring_key(host, mark)
    seconds = max(0, min(ts_us // 1_000_000, 2**32 - 1))
    states[key] = (states.get(key, b"") + mark + seconds.to_bytes(4, "big"))[-_RING:]


def _line_mark(ts_us: int, doc: Doc) -> bytes:
    """The hash by which a line is known again when a relay resends it."""
    return _mark(f"{doc.get('process.name', '')}\x1f{doc.get('process.pid', '')}\x1f{ts_us // 1_000_000}\x1f{doc.get('message', '')}")


def _verdict_key(host: str, message_id: str) -> str:
    return f"{host}\x1f#mid\x1f{_mark(message_id).hex()}"


def _filter_id(reason: str) -> str:
    """The amavis id in the words of a refusal: `Reject, id=31619-02 - spam`."""
    _, found, after = reason.partition("id=")
    identity = after.split(" ", 1)[0] if found else ""
    return identity if 0 < len(identity) <= 64 and identity.replace("-", "").isalnum() else ""  # noqa: PLR2004 - amavis ids are pid-number-part
