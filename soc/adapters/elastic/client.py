"""One way to Elasticsearch: every request goes through `Link`, which retries what passes and names what does not.

Errors: a busy or restarting cluster is waited for within the stall budget, then `StoreUnavailable`; a full disk is
`StoreFull` at once; refused credentials are `AccessDenied` and never a fault of a document; everything else that
Elasticsearch refuses is `StoreRefused`. Bodies of proxies (HTML) are understood as such.
"""

from __future__ import annotations

import re
import threading
from base64 import b64encode
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import orjson
from elastic_transport import ConnectionError as TransportConnectionError
from elastic_transport import ConnectionTimeout, TlsError, TransportError
from elasticsearch import ApiError, Elasticsearch, UnsupportedProductError
from elasticsearch.serializer import OrjsonSerializer

from soc.clock import Clock
from soc.config import StoreSettings, secret
from soc.errors import AccessDenied, ConfigError, Conflict, Phrase, SocError, StoreFull, StoreRefused, StoreUnavailable
from soc.telemetry import get_logger

log = get_logger(__name__)

_JSON = "application/vnd.elasticsearch+json; compatible-with=9"
_NDJSON = "application/vnd.elasticsearch+x-ndjson; compatible-with=9"
PASSING = frozenset({429, 502, 503, 504})
"""Statuses that go by themselves: a full queue, a proxy without backend, shards that are starting."""
CLOSED = "index_closed_exception"
"""Somebody closed an index, as people do for a while; a 400, and yet no document is to blame."""
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.05, 5.0
# Reference: what proxies put around their message; for showing one line of it only.
_TAG = re.compile(r"<[^<>]{0,200}>")


class Budget:
    """How long one piece of work is tried, and the pauses between tries (doubling)."""

    def __init__(self, clock: Clock, seconds: float) -> None:
        self._clock = clock
        self._until = clock.monotonic() + seconds
        self._pause = _FIRST_PAUSE_S
        self.seconds = seconds

    def wait(self) -> bool:
        """Pause before another try; False when the time is up."""
        if self._clock.monotonic() + self._pause > self._until:
            return False
        self._clock.sleep(self._pause)
        self._pause = min(self._pause * 2, _LONGEST_PAUSE_S)
        return True


class Link:
    """A connection to the cluster of the settings; may be used from several threads."""

    def __init__(self, settings: StoreSettings, clock: Clock) -> None:
        self.settings = settings
        self.clock = clock
        self._client = connect(settings)
        self._here = threading.local()

    def budget(self) -> Budget:
        """A fresh stall budget."""
        return Budget(self.clock, self.settings.stall_budget_s)

    @contextmanager
    def patient(self) -> Iterator[Budget]:
        """Let every request of this thread share one stall budget: for batches, which wait out a restart of the cluster."""
        budget = self._here.budget = self.budget()
        try:
            yield budget
        finally:
            self._here.budget = None

    def patience(self) -> Budget:
        """The budget of the batch under way; people who only look something up are not made to wait for long."""
        return self._shared() or Budget(self.clock, min(self.settings.stall_budget_s, self.settings.look_up_budget_s))

    def _shared(self) -> Budget | None:
        return getattr(self._here, "budget", None)

    def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        params: Mapping[str, Any] | None = None,
        missing: Any = None,
        budget: Budget | None = None,
        refuse_404: bool = False,
    ) -> Any:
        """The decoded answer; `missing` for a 404. Every request made here may be repeated: ids make writes idempotent.

        Raises: StoreUnavailable when the budget is used up, StoreFull, StoreRefused, AccessDenied, Conflict (409).
        """
        budget = budget or self.patience()
        raw = body if isinstance(body, bytes) else None if body is None else orjson.dumps(body)
        headers = {"accept": _JSON, "content-type": _NDJSON if isinstance(body, bytes) else _JSON}
        if raw is None:
            del headers["content-type"]
        while True:
            try:
                return self._client.perform_request(method, path, params=params, headers=headers, body=raw).body
            except UnsupportedProductError as error:
                raise StoreRefused(Phrase("{hosts}: what answers there is not Elasticsearch", hosts=self._hosts()), hint="check store.hosts") from error
            except ApiError as error:
                status, answer = error.meta.status, error.body
                if status == 404 and not refuse_404:  # noqa: PLR2004
                    return missing
                if not is_passing(status, _kind(answer), reason(answer)):
                    raise refused(status, answer, f"{method} {path}") from error
                if not budget.wait():
                    if _kind(answer) == CLOSED:
                        raise closed(str(_error(answer).get("index")), budget.seconds) from error
                    raise StoreUnavailable(
                        Phrase("Elasticsearch is too busy: {status} {reason} for {seconds:g} s", status=status, reason=reason(answer), seconds=budget.seconds),
                        hint="look at the cluster's load and disks",
                    ) from error
                log.debug("store busy, trying again", status=status)
            except TransportError as error:
                self._wait_or_raise(error, budget)

    def _wait_or_raise(self, error: TransportError, budget: Budget) -> None:
        final = unreachable(error, self._hosts())
        if isinstance(error, TlsError) or not isinstance(error, (ConnectionTimeout, TransportConnectionError)) or not budget.wait():
            raise final from error
        log.debug("store unreachable, trying again", error=final.message)

    def create_index(self, name: str, body: Any = None, *, exist_ok: bool = True) -> None:
        """Make an index; afterwards it can be read and written, whoever made it.

        A busy master starts the shards of a new index late: that is waited for within the stall budget.
        Raises: as `request`; StoreRefused for one that stands, unless that is `exist_ok`.
        """
        budget = self._shared() or self.budget()
        try:
            if self.request("PUT", f"/{name}", body, budget=budget)["shards_acknowledged"]:
                return
        except StoreRefused as error:
            if not exist_ok or "resource_already_exists" not in error.message:
                raise
        self.request("GET", f"/{name}/_count", budget=budget)

    def _hosts(self) -> str:
        return ", ".join(self.settings.hosts)

    def close(self) -> None:
        """Close the connections; idempotent."""
        self._client.close()


def connect(settings: StoreSettings) -> Elasticsearch:
    """A client of the settings, without retries of its own.

    Raises: ConfigError for a CA file that cannot be read, or hosts that are no URLs.
    """
    options: dict[str, Any] = {}
    if settings.username:
        password = secret("store.password", settings.password_file, settings.password_command)
        # Encoded here: the client takes ASCII only. Reference: RFC 7617 2.1 (UTF-8).
        options["basic_auth"] = b64encode(f"{settings.username}:{password}".encode()).decode()
    if settings.ca_file is not None:
        if not settings.ca_file.is_file():
            raise ConfigError(
                Phrase("the CA file {ca_file} cannot be read", ca_file=settings.ca_file),
                key="store.ca_file",
                hint="give the PEM file of the authority that signed the nodes' certificates",
            )
        options["ca_certs"] = str(settings.ca_file)
    try:
        return Elasticsearch(
            settings.hosts,
            request_timeout=settings.request_timeout_s,
            max_retries=0,
            retry_on_timeout=False,
            http_compress=False,
            serializer=OrjsonSerializer(),
            **options,
        )
    except (ValueError, OSError) as error:
        raise ConfigError(
            Phrase("the settings of Elasticsearch cannot be used: {error}", error=error), key="store.hosts", hint="hosts are URLs: https://es1.example.vn:9200"
        ) from error


def unreachable(error: TransportError, hosts: str) -> SocError:
    """What a failure below HTTP means to people."""
    text = str(error.message)[:300]
    if isinstance(error, TlsError):
        if "CERTIFICATE_VERIFY_FAILED" in text or "certificate verify failed" in text:
            return StoreUnavailable(
                Phrase("{hosts}: the certificate is not signed by an authority we know: {text}", hosts=hosts, text=text),
                hint="set store.ca_file to the PEM file of the authority",
            )
        return StoreUnavailable(
            Phrase("{hosts}: TLS failed: {text}", hosts=hosts, text=text), hint="does the node speak https? check store.hosts and store.ca_file"
        )
    if isinstance(error, ConnectionTimeout):
        return StoreUnavailable(
            Phrase("{hosts}: no answer in time: {text}", hosts=hosts, text=text), hint="is the node frozen or overloaded? store.request_timeout_s is the limit"
        )
    if isinstance(error, TransportConnectionError):
        return StoreUnavailable(
            Phrase("{hosts}: cannot be reached: {text}", hosts=hosts, text=text),
            hint="is Elasticsearch running, and is the address right? `soc doctor` checks it",
        )
    return StoreUnavailable(
        Phrase("{hosts}: the answer cannot be understood: {text}", hosts=hosts, text=text), hint="is there a proxy between? check store.hosts"
    )


def _error(body: Any) -> Mapping[str, Any]:
    error = body.get("error") if isinstance(body, Mapping) else None
    return error if isinstance(error, Mapping) else {}


def _kind(body: Any) -> str:
    """The stable word of an Elasticsearch error ("" = it did not come from Elasticsearch)."""
    return str(_error(body).get("type") or "")


def reason(body: Any) -> str:
    """One line of why, from JSON or from a proxy's HTML."""
    error = _error(body)
    if error:
        causes = error.get("root_cause")
        cause = causes[0] if isinstance(causes, list) and causes and isinstance(causes[0], Mapping) else error
        return f"{cause.get('type')}: {str(cause.get('reason'))[:300]}"
    text = body.decode("utf-8", "replace") if isinstance(body, bytes) else str(body)
    return " ".join(_TAG.sub(" ", text[:2000]).split())[:200]


def is_passing(status: int, kind: str, why: str = "") -> bool:
    """Whether an error goes by itself. A full disk (also 429) does not; an index closed to writing by a migration (403) does."""
    if kind == "cluster_block_exception":
        return "flood-stage" not in why and "read-only / allow delete" not in why and status in {403, 503}
    return status in PASSING or kind == CLOSED


def closed(index: str, seconds: float) -> StoreUnavailable:
    """The error of an index that somebody closed and did not open again."""
    return StoreUnavailable(
        Phrase("index {index} is closed, for {seconds:g} s now: it can be neither read nor written", index=index, seconds=seconds),
        hint=Phrase("open it: POST /{index}/_open", index=index),
    )


def refused(status: int, body: Any, what: str) -> SocError:
    """What a refusal by HTTP status means to people."""
    why = reason(body)
    if _kind(body) == "cluster_block_exception":
        return full(why)
    if status in {401, 403}:
        return AccessDenied(
            Phrase("Elasticsearch refuses us ({status}): {why}", status=status, why=why),
            hint="check store.username and its password" if status == 401 else "the user needs rights on the indices of store.prefix",  # noqa: PLR2004
        )
    if status == 409:  # noqa: PLR2004
        return Conflict(f"{what}: {why}")
    if status == 413:  # noqa: PLR2004
        return StoreRefused(
            Phrase("a proxy before Elasticsearch refuses large requests: {why}", why=why), hint="raise its limit (nginx: client_max_body_size 100m)"
        )
    hint = "http:// was spoken to an https port: check store.hosts" if "HTTPS port" in why else ""
    return StoreRefused(Phrase("Elasticsearch refused {what} ({status}): {why}", what=what, status=status, why=why), hint=hint)


def full(why: str) -> StoreFull:
    """The error of a cluster that has put itself to read-only because a disk is full (flood stage)."""
    return StoreFull(
        Phrase("Elasticsearch takes no writes: {why}", why=why),
        hint="free space: drop old partitions with `soc store retention`, or add disk; the block then goes away by itself",
    )
