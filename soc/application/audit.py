"""The journal's proof: checkpoints that sign where every stream ended, and the comparison of all that is stored with them.

A checkpoint lists the streams that grew since the one before and signs a hash over the ends of all of them, so that a
fact that was changed, left out, put in between or cut off shows, and where. Whoever can write the files and has the key can
forge both: an anchor kept elsewhere (`soc audit checkpoint --anchor FILE`, on paper or another machine) shows that too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from typing import Any, Literal

import msgspec
import orjson

from soc.errors import ConfigError, Conflict, NotFound, Phrase, StoreCorrupt
from soc.model.fact import MOST_BYTES, Fact, NewFact, Stored, decoded, digest
from soc.model.journal import Head, Journal
from soc.model.signing import SigningKey, is_signed, key_id

CHECKPOINTS = "journal/checkpoints"
KEYS = "journal/keys"
SIGNED, HEADS = "CheckpointSigned", "CheckpointHeads"
_HEAD_BYTES = 100
"""Of an end in a fact, beside the name of its stream: number, hash, punctuation."""
Kind = Literal["hash", "gap", "fork", "truncated", "signature"]


class Problem(msgspec.Struct, frozen=True):
    """What does not hold: `hash` bytes changed, `gap` a number is missing, `fork` another history, `truncated` the end is gone."""

    stream: str
    sequence: int
    kind: Kind


class Verdict(msgspec.Struct):
    """What `soc audit verify --json` prints. `head`: the hash over all ends, as a checkpoint would sign it."""

    ok: bool
    streams: int
    facts: int
    checkpoints: int
    head: str
    problems: list[Problem]


class Anchor(msgspec.Struct):
    """A checkpoint that is kept elsewhere, with all that is needed to check the journal against it."""

    at: str
    checkpoint: int
    heads: dict[str, tuple[int, str]]
    root: str
    keys: dict[str, str]
    signature: str
    key: str
    schema: int = 1


def root_of(heads: Mapping[str, tuple[int, str]]) -> str:
    """One hash over the ends of all streams, in order of their names."""
    whole = sha256()
    for stream in sorted(heads):
        sequence, found = heads[stream]
        whole.update(f"{stream}\x1f{sequence}\x1f{found}\n".encode())
    return whole.hexdigest()


def introduce(journal: Journal, key: SigningKey, *, actor: str, before: SigningKey | None = None, reason: str = "") -> None:
    """Record the public key that signs from now on; the key before signs for the new one."""
    facts = journal.read(KEYS)
    known = keys_of([one.fact for one in facts])
    if key.id in known:
        return
    data: dict[str, Any] = {"key": key.id, "public": key.public, "replaces": "", "signature": ""}
    if before is not None:
        data |= {"replaces": before.id, "signature": before.sign(_introduction(key.public))}
    journal.append(KEYS, len(facts), [NewFact("SigningKeyAdded", data, reason)], actor=actor)


def _introduction(public: str) -> bytes:
    return b"soc signing key\x1f" + public.encode()


def keys_of(facts: list[Fact]) -> dict[str, str]:
    """Key id → public key, as recorded."""
    return {str(fact.data.get("key")): str(fact.data.get("public")) for fact in facts if fact.kind == "SigningKeyAdded"}


def checkpoint(journal: Journal, key: SigningKey, *, actor: str) -> Anchor:
    """Sign the ends of all streams; without change since the last checkpoint that one is handed out again.

    Raises: Conflict when another process signs at the same moment.
    """
    introduce(journal, key, actor=actor)
    signed = journal.read(CHECKPOINTS)
    done = [one for one in signed if one.fact.kind == SIGNED]
    before = heads_of([one.fact for one in signed])
    now = {head.stream: (head.sequence, head.hash) for head in journal.heads() if head.stream != CHECKPOINTS}
    grown = {stream: list(head) for stream, head in now.items() if before.get(stream) != head}
    if not done or grown:
        *parts, last_part = _parts(grown)
        if parts:  # one fact does not hold them all; what is signed then is chained to them
            facts = [NewFact(HEADS, {"heads": part}) for part in parts]
            signed += journal.append(CHECKPOINTS, len(signed), facts, actor=actor)
        content = {
            "number": len(done) + 1,
            "heads": last_part,
            "root": root_of(now),
            "facts": sum(head[0] for head in now.values()),
            "streams": len(now),
            "key": key.id,
        }
        content["signature"] = key.sign(_signed(content, signed[-1].hash if signed else ""))
        done += journal.append(CHECKPOINTS, len(signed), [NewFact(SIGNED, content)], actor=actor)
        signed.append(done[-1])
    last = signed[-1]
    heads = {**now, CHECKPOINTS: (last.fact.sequence, last.hash)}
    root = root_of(heads)
    keys = keys_of([one.fact for one in journal.read(KEYS)])
    return Anchor(done[-1].fact.at, int(done[-1].fact.data["number"]), heads, root, keys, key.sign(_anchored(root)), key.id)


def _parts(grown: dict[str, list[Any]]) -> list[dict[str, list[Any]]]:
    """The ends in parts that fit into one fact each; at least one."""
    parts: list[dict[str, list[Any]]] = [{}]
    size = 0
    for stream, head in grown.items():
        size += 4 * len(stream) + _HEAD_BYTES
        if size > MOST_BYTES // 2:
            parts.append({})
            size = 4 * len(stream) + _HEAD_BYTES
        parts[-1][stream] = head
    return parts


def _anchored(root: str) -> bytes:
    return b"soc journal anchor\x1f" + root.encode()


def _signed(content: Mapping[str, Any], previous: str) -> bytes:
    """What a checkpoint's signature is over."""
    plain = {name: value for name, value in content.items() if name != "signature"}
    return b"soc journal checkpoint\x1f" + previous.encode() + b"\x1f" + orjson.dumps(plain, option=orjson.OPT_SORT_KEYS)


def heads_of(checkpoints: Sequence[Fact]) -> dict[str, tuple[int, str]]:
    """Where the streams ended at the last of these checkpoints; parts that nothing was signed after do not count."""
    heads: dict[str, tuple[int, str]] = {}
    waiting: dict[str, tuple[int, str]] = {}
    for fact in checkpoints:
        waiting |= {str(stream): (int(sequence), str(found)) for stream, (sequence, found) in fact.data.get("heads", {}).items()}
        if fact.kind == SIGNED:
            heads |= waiting
            waiting = {}
    return heads


def verify(journal: Journal, anchor: Anchor | None = None, progress: Callable[[int], None] = lambda _facts: None) -> Verdict:
    """Compare everything that is stored with its hashes, with the checkpoints, and with an anchor kept elsewhere.

    Cost: one pass; memory: a hash per stream and per checkpointed end.
    """
    check = _Check(anchor)
    for number, (stream, sequence, body, found) in enumerate(journal.scan(), 1):
        check.take(stream, sequence, body, found)
        if not number % 5_000:
            progress(number)
    check.compare_heads(journal)
    return check.verdict()


class _Check:
    """One pass over a journal."""

    def __init__(self, anchor: Anchor | None) -> None:
        self.anchor = anchor
        self.facts = 0
        self.ends: dict[str, tuple[int, str]] = {}
        self.problems: list[Problem] = []
        self.checkpoints: list[Stored] = []
        self.signed = 0
        self.keys: list[Fact] = []
        self._hashes: dict[str, list[bytes]] = {}

    def take(self, stream: str, sequence: int, body: bytes, found: str) -> None:
        """One stored fact."""
        self.facts += 1
        before, previous = self.ends.get(stream, (0, ""))
        if sequence != before + 1:
            self._problem(stream, before + 1, "gap")
        if digest(body) != found:
            self._problem(stream, sequence, "hash")
        else:
            self._chained(stream, sequence, body, found, previous if sequence == before + 1 else None)
        self._hashes.setdefault(stream, []).append(found.encode())
        self.ends[stream] = (sequence, found)

    def _chained(self, stream: str, sequence: int, body: bytes, found: str, previous: str | None) -> None:
        try:
            stored = decoded(body, found)
        except ValueError:
            self._problem(stream, sequence, "hash")
            return
        fact = stored.fact
        if fact.stream != stream or fact.sequence != sequence:
            self._problem(stream, sequence, "hash")
        elif previous is not None and fact.previous != previous:
            self._problem(stream, sequence, "fork")
        if stream == CHECKPOINTS:
            self.checkpoints.append(stored)
        elif stream == KEYS:
            self.keys.append(fact)

    def _problem(self, stream: str, sequence: int, kind: Kind) -> None:
        self.problems.append(Problem(stream, sequence, kind))

    def compare_heads(self, journal: Journal) -> None:
        """What the next fact would be chained to must be the last fact that stands; one appended since the scan is looked up."""
        without = set(self.ends)
        for head in journal.heads():
            without.discard(head.stream)
            end, found = self.ends.get(head.stream, (0, ""))
            if head.sequence < end or (head.sequence == end and head.hash != found):
                self._problem(head.stream, head.sequence, "hash")
            elif head.sequence > end:
                self._appended(journal, head, end)
        for stream in without:
            self._problem(stream, self.ends[stream][0], "hash")

    def _appended(self, journal: Journal, head: Head, end: int) -> None:
        try:
            later = journal.read(head.stream, end)
        except StoreCorrupt:
            self._problem(head.stream, end + 1, "hash")
            return
        if not later or later[-1].fact.sequence < head.sequence:
            self._problem(head.stream, end + 1, "truncated")

    def verdict(self) -> Verdict:
        """All of it, once everything was taken."""
        keys = self._trusted()
        self._compare_checkpoints(keys)
        if self.anchor is not None:
            self._compare_anchor(self.anchor, keys)
        problems = sorted(set(self.problems), key=lambda problem: (problem.stream, problem.sequence, problem.kind))
        return Verdict(not problems, len(self.ends), self.facts, self.signed, root_of(self.ends), problems)

    def _trusted(self) -> dict[str, str]:
        """The keys whose introduction holds: the first one, and those that a known key signed for."""
        trusted: dict[str, str] = {}
        for fact in self.keys:
            public, replaces = str(fact.data.get("public")), str(fact.data.get("replaces"))
            vouched = is_signed(trusted[replaces], _introduction(public), str(fact.data.get("signature"))) if replaces in trusted else not trusted
            if not vouched or key_id(public) != fact.data.get("key"):
                self._problem(KEYS, fact.sequence, "signature")
            else:
                trusted[key_id(public)] = public
        return trusted

    def _compare_checkpoints(self, keys: Mapping[str, str]) -> None:
        heads: dict[str, tuple[int, str]] = {}
        parts: list[Fact] = []
        for stored in self.checkpoints:
            fact = stored.fact
            parts.append(fact)
            if fact.kind != SIGNED:
                continue
            self.signed += 1
            public = keys.get(str(fact.data.get("key")), "")
            if not is_signed(public, _signed(fact.data, fact.previous), str(fact.data.get("signature"))):
                self._problem(CHECKPOINTS, fact.sequence, "signature")
                continue
            grown = heads_of(parts)
            parts = []
            heads |= grown
            if root_of(heads) != fact.data.get("root"):
                self._problem(CHECKPOINTS, fact.sequence, "signature")
            for stream, (sequence, found) in grown.items():
                self._compare(stream, sequence, found)

    def _compare_anchor(self, anchor: Anchor, keys: Mapping[str, str]) -> None:
        public = anchor.keys.get(anchor.key, "")
        if root_of(anchor.heads) != anchor.root or not is_signed(public, _anchored(anchor.root), anchor.signature):
            raise ConfigError("the anchor's own signature does not hold", hint="it was changed, or is not whole: fetch it again from where it is kept")
        for key, known in anchor.keys.items():
            if keys.get(key) != known:
                self._problem(KEYS, 0, "signature")
        for stream, (sequence, found) in anchor.heads.items():
            self._compare(stream, sequence, found)

    def _compare(self, stream: str, sequence: int, found: str) -> None:
        """A stream against where it once ended."""
        hashes = self._hashes.get(stream, [])
        end = self.ends.get(stream, (0, ""))[0]
        if end < sequence:
            self._problem(stream, end + 1, "truncated")
        elif len(hashes) == end and hashes[sequence - 1] != found.encode():
            self._problem(stream, sequence, "fork")


def export(journal: Journal, write: Callable[[bytes], object]) -> int:
    """Write every fact as one JSON line `{"fact", "hash"}`; how many."""
    count = 0
    for _, _, body, found in journal.scan():
        write(b'{"fact":' + body + b',"hash":"' + found.encode() + b'"}\n')
        count += 1
    return count


def history(journal: Journal, stream: str) -> list[Stored]:
    """All facts of a stream, or of the only one with this beginning.

    Raises: NotFound, Conflict.
    """
    facts = journal.read(stream)
    if facts:
        return facts
    found: list[Head] = []
    for head in journal.heads(stream):
        found.append(head)
        if len(found) > 1:
            raise Conflict(
                Phrase("several streams begin with {stream}: {first}, {second}, …", stream=stream, first=found[0].stream, second=found[1].stream),
                hint="give more of the name",
            )
    if not found:
        raise NotFound(Phrase("there is no stream {stream}", stream=stream), hint="soc audit log shows what was recorded last")
    return journal.read(found[0].stream)
