"""The bulk writer: every item's answer is looked at, what passes is retried item by item, nothing is assumed.

Our own loop over `_bulk` because the helpers of the client lose rejected items, raise in mid-batch and hide refused
credentials per item (elasticsearch-py#864, #645), and because bodies encoded once by orjson are faster.

Delivery: at least once, made exactly once by create-only ids: a request that timed out after it was applied comes
back as 409, which the caller tells apart from a replay by the stored position.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import orjson

from soc.adapters.elastic.client import CLOSED, Budget, Link, closed, full, is_passing
from soc.errors import AccessDenied, Phrase, StoreUnavailable
from soc.telemetry import get_logger

log = get_logger(__name__)

CHUNK_BYTES = 8 * 1024 * 1024
"""Of one request: far below the 100 MB that Elasticsearch takes, large enough that its cost is the documents'."""
CREATED, EXISTS, UPDATED = 201, 409, 200
_SENT = "errors,items.*.status,items.*.error.type,items.*.error.reason,items.*.error.index,items.*._seq_no,items.*._primary_term"


class Action(NamedTuple):
    """One line pair of a bulk request: `head` the action, `body` the document (b"" for a deletion)."""

    head: bytes
    body: bytes


class Outcome(NamedTuple):
    """The final answer to one action. `status` 0 = not sent yet."""

    status: int
    kind: str = ""
    reason: str = ""
    seq_no: int = -1
    term: int = -1
    about: str = ""
    """Which index an error is about."""


def create(index: str, identity: str, body: bytes) -> Action:
    """Write a document that must not stand yet."""
    return Action(orjson.dumps({"create": {"_index": index, "_id": identity}}), body)


def put(index: str, identity: str, document: Mapping[str, Any], *, seq_no: int = -1, term: int = -1) -> Action:
    """Write a document over what stands, with `seq_no` only if that is unchanged."""
    meta: dict[str, Any] = {"_index": index, "_id": identity}
    if seq_no >= 0:
        meta |= {"if_seq_no": seq_no, "if_primary_term": term}
    return Action(orjson.dumps({"index": meta}), orjson.dumps(document))


def delete(index: str, identity: str) -> Action:
    """Remove a document."""
    return Action(orjson.dumps({"delete": {"_index": index, "_id": identity}}), b"")


def send(link: Link, actions: Sequence[Action], *, budget: Budget | None = None, require_alias: bool = False) -> list[Outcome]:
    """The final outcome of every action, in order: written, exists already, or refused for good.

    Raises: StoreUnavailable when the budget is used up, StoreFull (flood stage), AccessDenied (401, 403 of items).
    """
    budget = budget or link.budget()
    outcomes = [Outcome(0)] * len(actions)
    pending = list(range(len(actions)))
    while pending:
        later: list[int] = []
        for chunk in _chunks(actions, pending):
            later += _send_chunk(link, actions, chunk, outcomes, budget, require_alias=require_alias)
        pending = later
        if pending:
            log.debug("bulk items rejected, trying again", items=len(pending), reason=outcomes[pending[0]].kind)
            if not budget.wait():
                first = outcomes[pending[0]]
                if first.kind == CLOSED:
                    raise closed(first.about, budget.seconds)
                raise StoreUnavailable(
                    Phrase(
                        "Elasticsearch is too busy: {count} documents rejected ({status} {kind}) for {seconds:g} s",
                        count=len(pending),
                        status=first.status,
                        kind=first.kind,
                        seconds=budget.seconds,
                    ),
                    hint="a migration closed the index to writing; if it was interrupted, run `soc store migrate` again"
                    if first.kind == "cluster_block_exception"
                    else "look at the cluster's load; fewer workers or more nodes",
                )
    return outcomes


def _chunks(actions: Sequence[Action], pending: Sequence[int]) -> list[list[int]]:
    chunks: list[list[int]] = [[]]
    size = 0
    for number in pending:
        length = len(actions[number].body) + len(actions[number].head) + 2
        if size + length > CHUNK_BYTES and chunks[-1]:
            chunks.append([])
            size = 0
        chunks[-1].append(number)
        size += length
    return chunks


def _send_chunk(link: Link, actions: Sequence[Action], chunk: Sequence[int], outcomes: list[Outcome], budget: Budget, *, require_alias: bool) -> list[int]:
    """Send some actions and note their outcomes; returns those to try again."""
    lines: list[bytes] = []
    for number in chunk:
        action = actions[number]
        lines.append(action.head)
        if action.body:
            lines.append(action.body)
    lines.append(b"")
    params = {"filter_path": _SENT, "require_alias": "true"} if require_alias else {"filter_path": _SENT}
    answer = link.request("POST", "/_bulk", b"\n".join(lines), params=params, budget=budget, refuse_404=True)
    items = answer.get("items") or []
    if len(items) != len(chunk):
        raise StoreUnavailable(
            Phrase("Elasticsearch answered {count} of {count2} items", count=len(items), count2=len(chunk)),
            hint="is there a proxy between that changes answers?",
        )
    again: list[int] = []
    for number, wrapped in zip(chunk, items, strict=True):
        [item] = wrapped.values()
        error = item.get("error")
        if error is None:
            outcomes[number] = Outcome(item["status"], "", "", item.get("_seq_no", -1), item.get("_primary_term", -1))
            continue
        outcome = outcomes[number] = Outcome(item["status"], str(error.get("type", "")), str(error.get("reason", ""))[:500], about=str(error.get("index", "")))
        if is_passing(outcome.status, outcome.kind, outcome.reason):
            again.append(number)
        elif outcome.kind == "cluster_block_exception":
            raise full(outcome.reason)
        elif outcome.status in {401, 403}:
            raise AccessDenied(
                Phrase("Elasticsearch refuses us ({status}): {reason}", status=outcome.status, reason=outcome.reason),
                hint="the user needs rights on the indices of store.prefix",
            )
    return again
