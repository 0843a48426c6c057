"""The journal signs itself each hour in which something was recorded, and doctor says when it does not."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from soc.application import audit, doctor, duties
from soc.application.app import Actor, App
from soc.application.checkpoints import is_due, part
from soc.bootstrap import key_file, open_app
from soc.clock import FrozenClock
from soc.config import JournalSettings, Settings, StoreSettings
from soc.errors import NotAllowed
from soc.model.fact import NewFact
from tests.contracts.samples import T0


@pytest.fixture(params=["memory", "embedded"])
def app(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[App]:
    """An application with a key."""
    store = StoreSettings(kind=request.param, path=tmp_path / "store")
    with open_app(Settings(store=store, data_dir=tmp_path), Actor("an"), clock=FrozenClock(T0), pipeline=True) as opened:
        opened.wiring.signing_key(make=True)
        yield opened


def tell(app: App, number: int) -> None:
    """Record something."""
    app.journal.append(f"group/g-{number}", 0, [NewFact("GroupAcknowledged")], actor="an")


def later(app: App, seconds: float) -> None:
    """Time goes by."""
    assert isinstance(app.clock, FrozenClock)
    app.clock.advance(seconds)


def test_a_checkpoint_an_hour_and_only_when_something_was_recorded(app: App) -> None:
    """The first as soon as there is something; then not before an hour, and not for nothing; what is signed holds."""
    assert part(app) == 0
    tell(app, 1)
    assert (part(app), part(app)) == (1, 0)
    later(app, 3_599)
    tell(app, 2)
    assert part(app) == 0
    later(app, 1)
    assert part(app) == 1
    later(app, 90_000)
    assert part(app) == 0
    tell(app, 3)
    assert part(app) == 1
    verdict = audit.verify(app.journal)
    assert (verdict.ok, verdict.checkpoints) == (True, 3)


def test_the_step_beside_the_stream_signs(app: App) -> None:
    """It is one of the duties, and one that fails does not stop the others."""
    tell(app, 1)
    done = duties.step(app)
    assert done.parts["checkpoints"] == 1
    [signed] = [fact for fact in app.journal.latest(10) if fact.kind == audit.SIGNED]
    assert signed.actor == duties.ACTOR
    key_file(app.settings).chmod(0o644)
    tell(app, 2)
    later(app, 4_000)
    assert "checkpoints" in duties.step(app).errors


def test_without_a_key_or_with_zero_nothing_is_signed(app: App) -> None:
    """And nothing fails."""
    tell(app, 1)
    app.use(app.settings.model_copy(update={"journal": JournalSettings(checkpoint_every_s=0)}))
    assert part(app) == 0
    app.use(app.settings.model_copy(update={"journal": JournalSettings()}))
    key_file(app.settings).unlink()
    assert part(app) == 0
    assert is_due(app, 3_600)


def test_many_processes_sign_once(tmp_path: Path) -> None:
    """Whoever is first signs; the others see it, or conflict and go on."""
    settings = Settings(store=StoreSettings(path=tmp_path / "store"), data_dir=tmp_path)
    with open_app(settings, Actor("an"), clock=FrozenClock(T0)) as app:
        app.wiring.signing_key(make=True)
        tell(app, 1)
    results: list[int] = []

    def sign() -> None:
        with open_app(settings, Actor("an"), clock=FrozenClock(T0)) as own:
            results.append(part(own))

    threads = [threading.Thread(target=sign) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 6
    with open_app(settings, Actor("an"), clock=FrozenClock(T0)) as app:
        verdict = audit.verify(app.journal)
        assert (verdict.ok, verdict.checkpoints) == (True, 1)


def states(app: App) -> list[tuple[str, str]]:
    """What doctor says of the journal."""
    return [(str(check.name), check.state) for check in doctor.check_journal(app)]


def test_doctor_looks_at_key_mode_and_age(app: App) -> None:
    """Each state with what to do; a journal in which nothing happened needs no new checkpoint."""
    key = "key of the journal"
    assert states(app) == [(key, "ok")]
    tell(app, 1)
    assert states(app) == [(key, "ok"), ("checkpoint", "warn")]
    part(app)
    later(app, 90_000)
    assert states(app) == [(key, "ok"), ("checkpoint", "ok")]
    tell(app, 2)
    assert states(app) == [(key, "ok"), ("checkpoint", "warn")]
    part(app)
    assert states(app) == [(key, "ok"), ("checkpoint", "ok")]
    file = key_file(app.settings)
    assert file.stat().st_mode & 0o777 == 0o600
    file.chmod(0o640)
    assert states(app) == [(key, "fail")]
    assert all(check.fix for check in doctor.check_journal(app))
    with pytest.raises(NotAllowed):
        part_after(app)
    file.unlink()
    assert states(app) == [(key, "warn"), ("checkpoint", "ok")]
    app.wiring.signing_key(make=True)
    assert states(app) == [(key, "fail"), ("checkpoint", "ok")], "another key than the one that the journal knows"


def part_after(app: App) -> int:
    """Sign when it is time again."""
    later(app, 4_000)
    tell(app, 9)
    try:
        return part(app)
    finally:
        later(app, -4_000)
