"""`soc demo`: half an hour of traffic with two incidents."""

from __future__ import annotations

import os
import shlex
import shutil
from pathlib import Path

import click

from soc.cli import _show
from soc.cli._io import json_option, write_json
from soc.cli._session import Session, called_as, pass_session
from soc.errors import NotAllowed, Phrase
from soc.i18n import gettext as _

MARK = "soc-demo.toml"
"""Stands in a demonstration's folder: only such a folder is ever emptied."""

MOST_ALERTS = 8
SCENE_NAMES = ("account-takeover", "gateway-silent", "ransomware", "spam-wave", "wrong-rule")
"""Those of `soc.application.demo.scenarios`, which is not loaded to show the help."""


@click.command(help=_("Play a seeded half-hour of firewall and mail traffic, ending now, into a fresh store, and show what was found."))
@click.option(
    "--folder",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path(".demo"),
    show_default=True,
    help=_("Where; what an earlier demonstration left there is removed."),
)
@click.option("--scene", type=click.Choice(SCENE_NAMES), default=None, help=_("Play the scene of one incident instead, with the sample registry."))
@click.option("--seed", type=int, default=2026, show_default=True, help=_("Another seed, other traffic."))
@json_option
@pass_session
def command(session: Session, folder: Path, scene: str | None, seed: int, as_json: bool) -> None:
    """Play the demonstration."""
    import msgspec

    from soc.application import alerts, events
    from soc.application.demo.play import play, play_scene
    from soc.application.demo.scenarios import SCENES
    from soc.cli._progress import Progress
    from soc.cli._totals import totals_text
    from soc.clock import SystemClock
    from soc.model.level import RuleLevel
    from soc.ports import AlertQuery

    _fresh(folder)
    session.store = folder.absolute()
    out = session.out
    if scene is None:
        out.say(_("Half an hour of firewall and mail traffic, into {path} …").format(path=folder))
    else:
        out.say(_("The scene {name}, into {path} …").format(name=scene, path=folder))
    with Progress(session) as progress:

        def tell(done: int, total: int) -> None:
            progress(_("{done} of {total} lines").format(done=_show.number(done), total=_show.number(total)), done, total)

        if scene is None:
            app = session.app(pipeline=True)
            played = play(app, folder / "traffic", seed=seed, progress=tell)
        else:
            played = play_scene(session.opening(), session.settings, folder / "traffic", SCENES[scene], seed=seed, clock=SystemClock(), progress=tell)
            app = session.app()

    found = events.stats(app, events.event_query(""), interval="hour", by="", fields=(), most=1, tz=session.settings.timezone)
    by_level: dict[str, int] = {}
    for (level, _category), count in found.threats.items():
        by_level[level] = by_level.get(level, 0) + count
    total, groups = alerts.groups(app, AlertQuery(limit=0))
    groups.sort(key=lambda group: -RuleLevel(group.rule.level).rank)
    commands = _next_steps(folder, groups[0].id[:10] if groups else "")
    if as_json:
        head = {"schema_version": 1, "kind": "demo", "store": str(folder), "scene": scene, "files": played.files, "threats": by_level}
        items = [
            {"id": group.id, "rule": group.rule.id, "title": _show.title(group.rule), "level": group.rule.level, "count": group.count, "key": group.key}
            for group in groups
        ]
        write_json({**head, "totals": msgspec.to_builtins(played.totals), "next": commands, "total": total, "truncated": total > len(items), "items": items})
        return

    out.text(_("Taken in"), "bold")
    for name, lines in played.files.items():
        out.text(f"  {name:<14} {_show.number(lines):>9} " + _("lines"))
    out.text(f"  {totals_text(played.totals)}")
    out.text("\n" + _("Threats by level"), "bold")
    for level in ("critical", "high", "medium", "low"):
        if by_level.get(level):
            out.text(f"  {_show.level(level):<16} {_show.number(by_level[level]):>9}", _show.style_of(level))
    out.text("\n" + _("Open alerts ({count})").format(count=total), "bold")
    now = app.clock.now_us()
    for group in groups[:MOST_ALERTS]:
        key = " ".join(f"{name}={value}" for name, value in group.key.items())
        row = f"  {group.id[:10]}  {_show.level(group.rule.level):<14} {_show.age(group.last_at, now):>5}  ×{group.count:<4} "
        out.text(out.folded(f"{_show.title(group.rule)}  {key}", row, " " * 14), _show.style_of(group.rule.level))
    if total > MOST_ALERTS:
        out.text("  …")
    out.text("\n" + _("Next"), "bold")
    for line in commands:
        out.text(f"  {line}")


def _fresh(folder: Path) -> None:
    """An empty folder with our mark; a folder that is not ours is left alone.

    Raises: NotAllowed.
    """
    if folder.exists():
        if not (folder / MARK).is_file() and any(folder.iterdir()):
            raise NotAllowed(Phrase("{folder} is no demonstration folder, so it is not emptied", folder=folder), hint="--folder ANOTHER")
        shutil.rmtree(folder)
    try:
        folder.mkdir(parents=True)
        (folder / MARK).write_text("# Made by `soc demo`: this folder may be removed at any time.\n", encoding="utf-8")
    except OSError as error:
        raise NotAllowed(Phrase("{path} cannot be written: {strerror}", path=folder, strerror=error.strerror), hint="--folder ANOTHER") from error


def _next_steps(folder: Path, group: str) -> list[str]:
    """The commands that show more of it, as they are typed here."""
    # From a checkout the launcher stands at bin/soc; an installed soc is on PATH.
    at_hand = Path(__file__).parents[2] / "bin" / "soc"
    name = shlex.quote(called_as() or (os.path.relpath(at_hand) if at_hand.exists() else "soc"))
    store = shlex.quote(str(folder))
    why = (f"alerts why {group} --store {store}",) if group else ()
    return [f"{name} {line}" for line in (f"alerts list --store {store}", *why, f"events search 'soc.threat.level:critical' --store {store}")]
