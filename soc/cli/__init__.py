"""The command `soc`: finds its commands by file name, owns exit codes and the form of errors.

A command is a module of this package whose name does not begin with `_`, with a module-level `command`. It is imported
only when it is asked for; `soc --help` imports all of them, so a command imports what it works with when it runs.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Sequence

import click

from soc import i18n
from soc.cli import _errors, _session


def main(args: Sequence[str] | None = None) -> None:
    """Run one command and leave with its exit code."""
    _open_closed()
    words = list(sys.argv[1:] if args is None else args)
    for stream in (sys.stdout, sys.stderr):
        # A terminal that cannot show Vietnamese gets escapes instead of an error.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    i18n.use(i18n.choose(words, os.environ))
    sys.exit(execute(words))


def execute(words: Sequence[str]) -> int:
    """The exit code of one command; every error has been told on stderr."""
    from soc.cli._group import root

    session = _session.Session()
    try:
        value = root().main(args=list(words), prog_name="soc", standalone_mode=False, obj=session)
        sys.stdout.flush()
    except click.exceptions.Exit as leave:
        return leave.exit_code
    except (KeyboardInterrupt, click.Abort):
        _errors.tell_interrupt()
        return _errors.INTERRUPTED
    except BrokenPipeError:
        return _unread()
    except SystemExit:
        # The only one there is: click turns a pipe that nobody reads into it, with exit code 1.
        return _unread()
    except Exception as error:  # noqa: BLE001 - the border of the program: whatever it is, the user gets words, not a traceback
        code = _errors.tell(error, debug=session.debug or "--debug" in words, zone=session.zone, typed=session.as_typed)
        if isinstance(error, OSError):
            _let_go()  # what stdout could not take would be tried again at the end, and told as a fault of the interpreter
        return code
    finally:
        session.close()
    return value if isinstance(value, int) else 0


def _open_closed() -> None:
    """Give what was started with closed streams (`>&-`) the null device: else the next file that is opened would be taken for one of them."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            try:
                os.fstat(number)
            except OSError:
                os.open(os.devnull, os.O_RDWR)  # the lowest free number: those below it are open by now
            setattr(sys, name, open(number, "r" if number == 0 else "w", encoding="utf-8", closefd=False))  # noqa: SIM115 - for the whole run


def _unread() -> int:
    """0: the reader of our output has gone (`| head`), and that is its right."""
    _let_go()
    return 0


def _let_go() -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.__stdout__.fileno() if sys.__stdout__ else 1)
