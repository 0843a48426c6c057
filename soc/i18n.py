"""Texts in Vietnamese and English, by gettext. JSON keys, commands and options stay English.

One catalog, domain `messages`: click's own texts ("Usage", "No such command") are looked up there too.
"""

from __future__ import annotations

import gettext as _stdlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from soc.errors import Phrase

LANGUAGES = ("vi", "en")
LOCALE_DIR = Path(__file__).parent / "locale"
DOMAIN = "messages"

_catalogs: dict[str, _stdlib.NullTranslations] = {}
_texts: list[_stdlib.NullTranslations] = [_stdlib.NullTranslations()]


def choose(args: Sequence[str], env: Mapping[str, str]) -> str:
    """The language that the words of a command ask for (`--lang`), else `SOC_LANG`, `LANGUAGE`, `LC_ALL`, `LC_MESSAGES`, `LANG`; English when none says."""
    for position, word in enumerate(args):
        if word == "--":
            break
        if word.startswith("--lang="):
            return _known(word[len("--lang=") :]) or "en"
        if word == "--lang" and position + 1 < len(args):
            return _known(args[position + 1]) or "en"
    for name in ("SOC_LANG", "LANGUAGE", "LC_ALL", "LC_MESSAGES", "LANG"):
        if env.get(name):
            return next(filter(None, map(_known, env[name].split(":"))), "en")
    return "en"


def _known(value: str) -> str:
    language = value.partition(".")[0].partition("_")[0].lower()
    return language if language in LANGUAGES else ""


def use(language: str) -> None:
    """Speak `language` from now on: our texts, and those of libraries that ask gettext for the domain `messages`."""
    _texts[0] = _stdlib.translation(DOMAIN, str(LOCALE_DIR), [language], fallback=True)
    # click calls gettext.gettext, which finds the language in the environment.
    os.environ["LANGUAGE"] = language
    _stdlib.bindtextdomain(DOMAIN, str(LOCALE_DIR))
    _stdlib.textdomain(DOMAIN)


def current() -> str:
    """The language in use."""
    return _texts[0].info().get("language", "en")


def gettext(text: str) -> str:
    """`text` in the language in use."""
    return _texts[0].gettext(text)


SYSTEM_REASONS = (
    Phrase("Address already in use"),
    Phrase("Cannot assign requested address"),
    Phrase("Connection refused"),
    Phrase("Connection reset by peer"),
    Phrase("Connection timed out"),
    Phrase("Directory not empty"),
    Phrase("Disk quota exceeded"),
    Phrase("File exists"),
    Phrase("File name too long"),
    Phrase("Input/output error"),
    Phrase("Invalid argument"),
    Phrase("Is a directory"),
    Phrase("Network is unreachable"),
    Phrase("No route to host"),
    Phrase("No space left on device"),
    Phrase("No such file or directory"),
    Phrase("Not a directory"),
    Phrase("Operation not permitted"),
    Phrase("Permission denied"),
    Phrase("Read-only file system"),
    Phrase("Too many open files"),
)
"""What the system says most often of files and connections: these are said in the reader's language, too.  Source: strerror(3)."""
REASONS = ("reason", "strerror")
"""The facts of a phrase in which a reason of the system stands."""


def translated(text: str) -> str:
    """The text of an error, hint or check in the language in use; facts stay as they are, unless they are phrases themselves or reasons of the system."""
    if not isinstance(text, Phrase):
        return gettext(text) if text else ""
    facts = {name: translated(fact) if isinstance(fact, Phrase) or (name in REASONS and fact in SYSTEM_REASONS) else fact for name, fact in text.facts.items()}
    words = gettext(text.template)
    return words.format(**facts) if facts else words


def said(language: str, text: str) -> str:
    """The text in `language`, whatever language is in use: for what is written to other people."""
    catalog = _catalogs.get(language)
    if catalog is None:
        catalog = _catalogs[language] = _stdlib.translation(DOMAIN, str(LOCALE_DIR), [language], fallback=True)
    if not isinstance(text, Phrase):
        return catalog.gettext(text) if text else ""
    facts = {name: said(language, fact) if isinstance(fact, Phrase) else fact for name, fact in text.facts.items()}
    words = catalog.gettext(text.template)
    return words.format(**facts) if facts else words


def ngettext(one: str, many: str, count: int) -> str:
    """`one` or `many`, as `count` and the language in use ask for."""
    return _texts[0].ngettext(one, many, count)
