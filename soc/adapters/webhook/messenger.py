"""Hands messages over to a gateway (SMS, voice, chat) by HTTP POST of a JSON object that the settings describe."""

from __future__ import annotations

import hashlib
import hmac
import http.client
import re
import socket
import ssl
import threading
import unicodedata
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

import orjson

from soc.clock import Clock
from soc.config import WebhookSettings, secret
from soc.errors import ConfigError, Phrase
from soc.model.message import Message, one_line
from soc.ports import AttachedFile, Outcome

# Reference: `{to}`, `{subject}`; anything else in braces stays as it is
_PLACE = re.compile(r"\{(id|to|subject|body|kind|about|step|scope)\}")
_STROKES = str.maketrans("đĐ", "dD")
_AGAIN = (408, 425, 429)
"""Answers that ask for a later try, beside all of 5xx.  Source: RFC 9110 15.5.9, RFC 8470 5.2, RFC 6585 4."""
_BROKEN = (OSError, http.client.HTTPException, ssl.SSLError)
_MOST_ANSWER = 65_536


class WebhookMessenger:
    """See `soc.ports.Messenger`."""

    def __init__(self, name: str, settings: WebhookSettings, *, clock: Clock) -> None:
        self._name = name
        self._settings = settings
        self._clock = clock
        self._url = urlsplit(settings.url)
        if not self._url.hostname:
            raise ConfigError(Phrase("{key}: {value} is no address", key=f"webhook.{name}.url", value=repr(settings.url[:120])), key=f"webhook.{name}.url")
        self.longest_s = settings.timeout_s * 2

    def send(self, message: Message, to: str, files: Sequence[AttachedFile]) -> Outcome:  # noqa: ARG002 - gateways of short texts take none
        body = orjson.dumps(filled(self._settings, message, to))
        headers = self._headers(message, body)
        asked = False
        connection = self._connection()
        watch = threading.Timer(self._settings.timeout_s, _shut, (connection,))
        watch.daemon = True
        watch.start()
        try:
            connection.connect()
            asked = True  # from here on the gateway may have it whatever we hear
            connection.request("POST", self._target(), body=body, headers=headers)
            answer = connection.getresponse()
            text = answer.read(_MOST_ANSWER)[:200].decode("utf-8", "replace")
        except _BROKEN as error:
            return Outcome("unknown" if asked else "failed", _said(error), gateway=True)
        finally:
            watch.cancel()
            connection.close()
        said = one_line(f"{answer.status} {answer.reason} {text}")[:300]
        if 200 <= answer.status < 300:  # noqa: PLR2004 - RFC 9110 15.3
            return Outcome("sent", said)
        if answer.status in _AGAIN or answer.status >= 500:  # noqa: PLR2004 - RFC 9110 15.6
            return Outcome("failed", said, gateway=True, retry_after_s=_seconds(answer.getheader("Retry-After", "")))
        if answer.status in (401, 403, 404, 405):  # the gateway or our settings, not this message
            return Outcome("failed", said, gateway=True)
        return Outcome("refused", said)

    def _headers(self, message: Message, body: bytes) -> dict[str, str]:
        settings = self._settings
        headers = {
            **settings.headers,
            "Content-Type": "application/json",
            "User-Agent": "soc",
            "Idempotency-Key": message.id,
        }
        token = secret(f"webhook.{self._name}.token", settings.token_file, settings.token_command)
        if token:
            headers["Authorization"] = f"Bearer {token}"
        key = secret(f"webhook.{self._name}.hmac_key", settings.hmac_key_file, settings.hmac_key_command)
        if key:
            at = str(self._clock.now_us() // 1_000_000)
            headers["X-Soc-Timestamp"] = at
            headers["X-Soc-Signature"] = "sha256=" + signature(key, at, body)
        for name, value in headers.items():
            if one_line(name + value) != name + value or not (name + value).isascii():
                raise ConfigError(Phrase("{key}: a header holds what no header can", key=f"webhook.{self._name}"), key=f"webhook.{self._name}.headers")
        return headers

    def _target(self) -> str:
        return (self._url.path or "/") + (f"?{self._url.query}" if self._url.query else "")

    def _connection(self) -> http.client.HTTPConnection:
        host, port, limit = str(self._url.hostname), self._url.port, self._settings.timeout_s
        if self._url.scheme == "http":
            return http.client.HTTPConnection(host, port, timeout=limit)
        context = ssl.create_default_context(cafile=str(self._settings.ca_file) if self._settings.ca_file else None)
        return http.client.HTTPSConnection(host, port, timeout=limit, context=context)

    def check(self) -> list[tuple[str, bool, str, str]]:
        name = f"webhook {self._name} {self._url.hostname}"
        connection = self._connection()
        try:
            connection.connect()
        except _BROKEN as error:
            return [(name, False, _said(error), "check its url and ca_file, and whether the gateway is up")]
        finally:
            connection.close()
        return [(name, True, "answers (nothing was posted)", "")]

    def close(self) -> None:
        """Every message has a connection of its own."""


def filled(settings: WebhookSettings, message: Message, to: str) -> dict[str, Any]:
    """The object that is posted; values are only put in, never looked at."""
    shown = without_accents if settings.without_accents else str
    body = shown(message.body)
    values = {
        "id": message.id,
        "to": to,
        "subject": shown(message.subject),
        "body": body[: settings.text_most] if settings.text_most else body,
        "kind": message.kind,
        "about": message.about,
        "step": message.step,
        "scope": message.scope,
    }
    out: dict[str, Any] = {}
    for name, text in settings.fields.items():
        *above, last = name.split(".")
        inner = out
        for part in above:
            found = inner.setdefault(part, {})
            if not isinstance(found, dict):
                raise ConfigError(Phrase("{name} is a value and an object at once", name=part), key="fields")
            inner = found
        inner[last] = _put_in(text, values)
    return out


def without_accents(text: str) -> str:
    """Vietnamese in the letters of ASCII, case kept."""
    parts = unicodedata.normalize("NFD", text)
    return "".join(part for part in parts if not unicodedata.combining(part)).translate(_STROKES)


def _put_in(text: str, values: Mapping[str, str]) -> str:
    return _PLACE.sub(lambda found: values[found[1]], text)


def signature(key: str, at: str, body: bytes) -> str:
    """What `X-Soc-Signature` holds after `sha256=`: HMAC-SHA256 over time, a dot and the body.  Source: RFC 2104."""
    return hmac.new(key.encode(), at.encode() + b"." + body, hashlib.sha256).hexdigest()


def _seconds(text: str) -> float:
    return float(text) if text.isdigit() and len(text) < 7 else 0.0  # noqa: PLR2004 - eleven days


def _shut(connection: http.client.HTTPConnection) -> None:
    found = connection.sock
    if found is not None:
        with suppress(OSError):
            found.shutdown(socket.SHUT_RDWR)


def _said(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    return (str(error) or type(error).__name__)[:300]
