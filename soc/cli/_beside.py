"""What people are told of the pipeline that runs beside a repair of stored events."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

from soc.cli import _show
from soc.i18n import gettext as _

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from soc.application.in_force import Tell
    from soc.cli._progress import Progress
    from soc.cli._session import Session


def counting(progress: Progress) -> Callable[[int], None]:
    """Shows how many events were looked at."""

    def tell(count: int) -> None:
        progress(_("{count} events").format(count=_show.number(count)))

    return tell


@contextmanager
def stoppable(session: Session) -> Iterator[None]:
    """Tells whoever stops what is in the block how to go on."""
    try:
        yield
    except KeyboardInterrupt:
        session.out.say(_("Stopped half-way: each event is whole, and the same command does the rest."))
        raise


def teller(session: Session, command: str) -> Tell:
    """Says that the running pipeline is waited for, or that it did not follow."""

    def tell(what: Literal["waits", "behind"], pid: int) -> None:
        if what == "waits":
            session.out.say(_("The pipeline that runs (process {pid}) takes over first what is asked here; it goes on receiving.").format(pid=pid))
        else:
            session.out.warn(
                _(
                    "the pipeline that runs (process {pid}) still works by what was in force before: for what it stores from now on run `{command}` again"
                ).format(pid=pid, command=command)
            )

    return tell
