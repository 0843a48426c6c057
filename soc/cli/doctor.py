"""`soc doctor`: checks everything that a run needs."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from soc.cli._io import json_option, wants_color, write_json
from soc.cli._session import Session, pass_session
from soc.i18n import gettext as _
from soc.i18n import translated

if TYPE_CHECKING:
    from soc.application.doctor import Check

NARROW = 80


@click.command(help=_("Check everything that a run needs and say how to mend each thing; exit code 1 when something fails."))
@json_option
@pass_session
def command(session: Session, as_json: bool) -> int:
    """Check everything."""
    import msgspec

    checks: list[Check] = []
    for check in _all(session):
        checks.append(check)
        if not as_json:
            _tell(session, check)
    failed = any(check.state == "fail" for check in checks)
    if as_json:
        items = [msgspec.structs.asdict(check) for check in checks]
        write_json({"schema_version": 1, "kind": "doctor", "total": len(items), "truncated": False, "ok": not failed, "items": items})
    elif failed:
        session.out.say(_("Something is to be mended."))
    else:
        session.out.say(_("Ready: soc run"))
    return 1 if failed else 0


def _tell(session: Session, check: Check) -> None:
    mark, style = {"ok": ("✔", "green"), "warn": ("▲", "yellow"), "fail": ("✖", "red")}[check.state]
    word = {"ok": _("ok"), "warn": _("warning"), "fail": _("fails")}[check.state]
    out = session.out
    out.text(out.folded(f"{translated(check.name)}: {translated(check.text)}", f"{mark} {word:<9} ", " " * 12), style)
    if check.fix:
        out.text(out.folded(session.as_typed(translated(check.fix)), "            → ", " " * 14))


def _all(session: Session) -> Iterator[Check]:
    import tempfile
    from pathlib import Path

    from soc.application import doctor
    from soc.application.sources import settings_for_test
    from soc.bootstrap import diagnose_kafka, store_path
    from soc.errors import SocError

    for check in doctor.check_python():
        yield check
        if check.state == "fail":
            return  # what follows needs them
    yield from _terminal(session)
    try:
        settings, origins = session.load()
    except SocError as error:
        yield doctor.Check("configuration", "fail", error.message, error.hint or "soc help config")
        return
    files = sorted({origin.where.rpartition(":")[0] or origin.where for origin in origins.values() if origin.kind == "file"})
    yield doctor.Check("configuration", "ok", ", ".join(files) or _("defaults (no file)"))
    app = session.app(new_store=True)
    yield from doctor.check_clock(app)
    yield from doctor.check_secrets(settings)
    stored = list(doctor.check_store(app, store_path(settings) if settings.store.kind == "embedded" else None))
    yield from stored
    if any(check.state == "fail" and check.name == "store" for check in stored):
        yield doctor.Check("not checked", "warn", "access, journal, rules, messages, policies and reports need the store", "mend the store first")
    else:
        yield from doctor.check_access(app)
        yield from doctor.check_journal(app)
        yield from doctor.check_rules(app)
        yield from doctor.check_messages(app)
        yield from doctor.check_mailbox(app)
        yield from doctor.check_policies(app)
        yield from doctor.check_reports(app)
    yield from doctor.check_sources(settings)
    reached = True
    if doctor.uses_kafka(settings):
        for check in doctor.check_kafka(lambda: diagnose_kafka(settings)):
            reached = reached and check.state == "ok"
            yield check
        if reached:
            yield from doctor.check_signals(app)
    with tempfile.TemporaryDirectory(prefix="soc-doctor-") as scratch:
        for name in sorted(settings.sources):
            if settings.sources[name].type == "kafka" and not reached:
                continue
            yield from doctor.check_source(session.app(new_store=True, settings=settings_for_test(settings, name, Path(scratch))), name)


def _terminal(session: Session) -> Iterator[Check]:
    from soc.application.doctor import Check

    encoding = (sys.stdout.encoding or "").lower().replace("-", "")
    utf8 = encoding == "utf8"
    yield Check("UTF-8", "ok" if utf8 else "fail", sys.stdout.encoding or "?", "" if utf8 else "export LANG=C.UTF-8")
    if not sys.stdout.isatty():
        yield Check("terminal", "ok", _("no terminal: tab-separated output"))
        return
    width = shutil.get_terminal_size().columns
    colors = _("with colors") if wants_color(session.color, sys.stdout) else _("without colors")
    yield Check(
        "terminal",
        "ok" if width >= NARROW else "warn",
        f"{os.environ.get('TERM', '')} {width} " + _("columns") + f", {colors}",
        "" if width >= NARROW else _("make it at least 80 columns wide"),
    )
