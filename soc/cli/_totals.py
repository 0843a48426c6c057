"""How a run's totals and new alerts are told."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from soc.cli import _show
from soc.i18n import gettext as _

if TYPE_CHECKING:
    from soc.cli._session import Session
    from soc.ingest.worker import Totals
    from soc.model.alert import Alert


def totals_text(totals: Totals) -> str:
    """One line: what was received and what became of it."""
    parts = [
        _("{count} received").format(count=_show.number(totals.received)),
        _("{count} stored").format(count=_show.number(totals.stored)),
        _("{count} dead letters").format(count=_show.number(totals.dead_lettered)),
        _("{count} dropped").format(count=_show.number(totals.dropped)),
        _("{count} alerts").format(count=_show.number(totals.alerts)),
    ]
    return ", ".join(parts)


def totals_item(totals: Totals) -> dict[str, Any]:
    """The totals as JSON."""
    import msgspec

    return {"schema_version": 1, "kind": "run", **msgspec.to_builtins(totals)}


def alert_teller(session: Session, most: int = 20) -> Callable[[Sequence[Alert]], None]:
    """Tells new alerts on stderr as they come, at most `most` of a batch."""

    def tell(alerts: Sequence[Alert]) -> None:
        for alert in alerts[:most]:
            key = " ".join(f"{name}={value}" for name, value in alert.group_key.items())
            session.out.say(f"{_show.level(alert.rule.level)}  {_show.title(alert.rule)}  {key}  {alert.id[:10]}")
        if len(alerts) > most:
            session.out.say(_("… and {count} more alerts").format(count=len(alerts) - most))

    return tell


def tell_rule_errors(session: Session, errors: Sequence[Exception]) -> None:
    """Tell rules that could not be used: they are left out, the others work."""
    for error in errors[:10]:
        session.out.warn(str(error))
    if errors:
        session.out.warn(_("{count} rules are not used; see soc doctor").format(count=len(errors)))
