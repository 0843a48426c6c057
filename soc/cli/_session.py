"""What the options that every command knows say, and the application that they lead to."""

from __future__ import annotations

import logging
import os
import pwd
import re
import shlex
import shutil
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from soc.i18n import gettext as _

if TYPE_CHECKING:
    from collections.abc import Callable

    from soc.application.app import App
    from soc.cli._io import Output
    from soc.clock import Clock
    from soc.config import Settings
    from soc.config_files import Origins

# Reference: the program's name where a command of it begins
_COMMAND = re.compile(r"\bsoc(?= [a-z])")
# Reference: the options of our commands that name a store or settings, before the command ends
_CHOOSES = re.compile(r"[^\n;·,]{0,500}? --(?:store|config)\b")
_LOGIN = Path("/proc/self/loginuid")
_NO_LOGIN = 4_294_967_295
"""Nobody logged in (a service, a container): (uid_t) -1."""


def _may_only_read(folder: Path) -> bool:
    """Whether this user may not write the store that is there: the rights, or a file system that is mounted read-only."""
    return folder.is_dir() and not all(os.access(place, os.W_OK) for place in (folder, *folder.glob("*.db")))


@dataclass
class Session:
    """One call of `soc`: options, and what was opened for it."""

    config: Path | None = None
    store: Path | None = None
    timezone: str = ""
    language: str = ""
    color: str = "auto"
    debug: bool = False
    verbosity: int = 0
    """−1 says errors only, 1 and more say more."""
    no_input: bool = False
    overrides: dict[str, Any] = field(default_factory=dict)
    _loaded: tuple[Settings, Origins] | None = None
    _apps: list[App] = field(default_factory=list)
    _admitted: bool = False

    def load(self) -> tuple[Settings, Origins]:
        """The settings and where each came from."""
        if self._loaded is None:
            from soc import config_files, i18n

            overrides = dict(self.overrides)
            if self.store is not None and not self._is_of_settings(self.store):
                folder = str(self.store.absolute())
                # Spool and store together: two pipelines on two stores must not share what they receive.
                overrides |= {"store.kind": "embedded", "store.path": folder, "data_dir": folder}
            settings, origins = config_files.load(self.config, os.environ, overrides)
            if self.timezone:  # how times are shown must not change what rules say
                settings = settings.model_copy(update={"timezone": self.timezone, "rules": settings.rules_in_zone})
                origins["timezone"] = config_files.Origin("flag")
            self._loaded = settings, origins
            if settings.language and not self.language and not os.environ.get("SOC_LANG"):
                i18n.use(settings.language)
        return self._loaded

    def _is_of_settings(self, folder: Path) -> bool:
        """Whether `--store` names the very store of the settings: then evidence, keys and spool are where the settings have them."""
        from soc import config_files
        from soc.bootstrap import store_path

        settings, _origins = config_files.load(self.config, os.environ, self.overrides)
        return settings.store.kind == "embedded" and store_path(settings).resolve() == folder.resolve()

    @property
    def zone(self) -> str:
        """The zone in which times are shown, as far as it is known yet."""
        return self._loaded[0].timezone if self._loaded else self.timezone or "Asia/Ho_Chi_Minh"

    @property
    def settings(self) -> Settings:
        """The settings."""
        return self.load()[0]

    def app(self, *, pipeline: bool = False, serve_metrics: bool = False, settings: Settings | None = None, new_store: bool = False) -> App:
        """The wired application of the settings (or of others made from them); closed when the command ends.

        `new_store`: it is no surprise that there is no embedded store yet. A command that only looks makes none.
        """
        from soc.application.app import Actor
        from soc.bootstrap import open_app, store_path
        from soc.telemetry import setup_logging

        log = self.settings.log
        level = "error" if self.verbosity < 0 else "debug" if self.debug or self.verbosity > 1 else log.level if pipeline else "warning"
        setup_logging(level, log.format)
        if not pipeline and self.verbosity < 1 and not self.debug:
            # What a library says between its tries; the error that is told in the end holds it.
            logging.getLogger().setLevel(logging.CRITICAL)
        settings = settings or self.settings
        reading = not pipeline and self._only_looks()
        if settings.store.kind == "embedded" and reading and not new_store and not store_path(settings).exists():
            self.out.warn(_("there is no store at {path}: an empty one is looked at").format(path=store_path(settings)))
        if reading and settings.store.kind == "embedded" and _may_only_read(store_path(settings)):
            settings = settings.model_copy(update={"read_only": True})
        app = open_app(settings, Actor(actor_name()), pipeline=pipeline, reading=reading, serve_metrics=serve_metrics)
        self._apps.append(app)
        self._admit(app)
        return app

    def looking(self) -> App | None:
        """The application to look at what the embedded store holds, for what a shell offers while one types; None where there is none.

        No store is made, nothing is said or waited for, and a store on servers is not asked; lists that the store keeps for itself may be brought up to date.
        """
        from soc.application.app import Actor
        from soc.bootstrap import open_app, store_path
        from soc.telemetry import setup_logging

        setup_logging("error", self.settings.log.format)
        if self.settings.store.kind != "embedded" or not store_path(self.settings).exists():
            return None
        settings = self.settings.model_copy(update={"read_only": True}) if _may_only_read(store_path(self.settings)) else self.settings
        self._apps.append(open_app(settings, Actor(actor_name()), reading=True))
        return self._apps[-1]

    @staticmethod
    def _only_looks() -> bool:
        """Whether the command that runs changes nothing."""
        from soc.application.access import COMMANDS

        context = click.get_current_context(silent=True)
        words = context.command_path.partition(" ")[2] if context is not None else ""
        return words == "doctor" or (words in COMMANDS and COMMANDS[words].action.endswith(".view"))

    def opening(self) -> Callable[[Settings, Clock], App]:
        """Opens the application for the pipeline by other settings and clocks, one after the other; who opens it closes it."""
        from soc.application.app import Actor
        from soc.bootstrap import open_app
        from soc.telemetry import setup_logging

        setup_logging("error" if self.verbosity < 0 else "warning", self.settings.log.format)

        def opened(settings: Settings, clock: Clock) -> App:
            app = open_app(settings, Actor(actor_name()), pipeline=True, clock=clock)
            self._admit(app)
            return app

        return opened

    def _admit(self, app: App) -> None:
        """Go on if the command that runs is one for the role of who asks.

        Raises: NotAllowed.
        """
        context = click.get_current_context(silent=True)
        if context is not None and not self._admitted:
            from soc.application.access import require_command

            require_command(app, context.command_path.partition(" ")[2])
            self._admitted = True

    def typed(self, words: str = "") -> str:
        """How `soc` is typed here so that it finds the same store and settings: `bin/soc --store .demo alerts list`."""
        chosen = [word for name, value in (("--store", self.store), ("--config", self.config)) if value for word in (name, str(value))]
        return " ".join(filter(None, (shlex.quote(called_as() or "soc"), *map(shlex.quote, chosen), words)))

    def as_typed(self, text: str) -> str:
        """A text whose commands are typed as here, for the same store and settings."""
        if not called_as():
            return text
        typed = self.typed()
        return _COMMAND.sub(lambda match: match[0] if self._chooses(text, match.end()) else typed, text)

    @staticmethod
    def _chooses(text: str, at: int) -> bool:
        """Whether the command that begins there names its own store or settings."""
        return _CHOOSES.match(text, at) is not None

    @property
    def out(self) -> Output:
        """Where data and narration go."""
        from soc.cli._io import Output

        return Output(self)

    def close(self) -> None:
        """Close what was opened."""
        while self._apps:
            self._apps.pop().close()


def called_as() -> str:
    """How the program was called: `soc` where it is found by that name, else its path; "" = as a module, so what is typed is not known."""
    called = os.environ.get("_SOC_TYPED") or (sys.argv[0] if Path(sys.argv[0]).name == "soc" else "")
    found = shutil.which("soc") if called else None
    return "soc" if found and os.path.realpath(found) == os.path.realpath(called) else called


pass_session = click.make_pass_decorator(Session, ensure=True)


def actor_name() -> str:
    """The account that stands in records for who did it: as the system knows it, whatever the environment says.

    Who became another account by `sudo` or `su` is named by the account of the login, where the kernel keeps that.
    Source: proc(5), /proc/pid/loginuid.
    """
    try:
        login = int(_LOGIN.read_text(encoding="ascii"))
    except (OSError, ValueError):
        login = _NO_LOGIN
    for number in (login, os.getuid()):
        try:
            return pwd.getpwuid(number).pw_name
        except (KeyError, OverflowError):
            continue
    return f"uid-{os.getuid()}"


def may_ask(session: Session) -> bool:
    """Whether a question may be put: only on a terminal, and never with `--no-input`."""
    return not session.no_input and sys.stdin.isatty() and sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
