"""An office for tests: people, shifts, a mail server and a webhook, on a real store."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from soc.application.app import Actor, App
from soc.bootstrap import open_app
from soc.clock import FrozenClock, to_datetime
from soc.config import MailSettings, OnCallSettings, OutboxSettings, Settings, StoreSettings
from soc.organization.registry import Registry, record
from soc.organization.table import Row
from soc.ports import CrashPoint
from tests.conftest import NOW_US

HOUR = 3_600_000_000
PEOPLE = (
    {"id": "lan", "name": "Nguyễn Thị Lan", "agency": "so-kh-cn", "role": "analyst", "email": "lan@tinh.vn", "team": True},
    {"id": "minh", "name": "Trần Minh", "agency": "so-kh-cn", "role": "analyst", "email": "minh@tinh.vn", "team": True},
    {"id": "hoa", "name": "Lê Thị Hoa", "agency": "so-kh-cn", "role": "lead", "email": "hoa@tinh.vn"},
)


def local(us: int) -> str:
    """A time as people write it here."""
    return f"{to_datetime(us + 7 * HOUR):%Y-%m-%d %H:%M}"


def shift(begin: float, end: float, person: str, post: int = 1, decision: str = "12/QĐ-SKHCN") -> dict[str, Any]:
    """A row of the roster; times in hours after the frozen now."""
    return {"begin": local(NOW_US + round(begin * HOUR)), "end": local(NOW_US + round(end * HOUR)), "person": person, "post": post, "decision": decision}


def take_in(app: App, kind: str, *rows: dict[str, Any]) -> None:
    """Import rows, all of which must be good."""
    from soc.organization.roster import without_overlaps

    known = Registry(app.journal)
    plan = known.plan(kind, [Row(number, row) for number, row in enumerate(rows, 2)])
    if kind == "roster":
        plan = without_overlaps(plan, known)
    assert not plan.rejected, plan.rejected
    record(app.journal, plan, actor="test")


def furnish(app: App, *shifts: dict[str, Any]) -> None:
    """People and shifts."""
    take_in(app, "agencies", {"id": "so-kh-cn", "name": "Sở KH&CN", "level": "department"})
    take_in(app, "people", *PEOPLE)
    if shifts:
        take_in(app, "roster", *shifts)


def settings_of(folder: Path, port: int = 0, **changed: Any) -> Settings:
    """Settings with a store of their own, and a mail server when there is a port; it may take its time."""
    mail = MailSettings(host="127.0.0.1", port=port, security="none", sender="soc@tinh.vn", timeout_s=120) if port else MailSettings()
    values = {"outbox": OutboxSettings(leads=[]), "on_call": OnCallSettings(minutes=10, rounds=2), "mail": mail, **changed}
    return Settings(data_dir=folder, store=StoreSettings(path=folder / "store"), **values)


def opened(found: Settings, clock: FrozenClock, crash: CrashPoint | None = None) -> App:
    """The application on these settings."""
    return open_app(found, Actor("test"), clock=clock, crash=crash)


__all__ = ["HOUR", "NOW_US", "furnish", "local", "opened", "settings_of", "shift", "take_in"]
