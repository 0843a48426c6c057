"""`soc parse`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from soc.i18n import gettext as _

if TYPE_CHECKING:
    from soc.application.parse import Answer


@click.command(help=_("Parse lines of FILE (.gz too; or - for standard input) into ECS: one JSON answer per line. Needs no store and no configuration."))
@click.option("--product", default="", metavar="NAME", help=_("Parser to try first, as fortinet_fortigate; a wrong one falls back to recognition."))
@click.option("--tz", default="Asia/Ho_Chi_Minh", show_default=True, metavar="ZONE", help=_("Completes times without a zone."))
@click.option("--received-at", default="", metavar="TIME", help=_("Completes dates without a year; default: now."))
@click.option(
    "--format", "form", type=click.Choice(["ndjson", "pretty"]), default="ndjson", show_default=True, help=_("One JSON document per line, or text for people.")
)
@click.argument("file", default="-", metavar="[FILE|-]", type=click.Path(allow_dash=True))
def command(product: str, tz: str, received_at: str, form: str, file: str) -> int:
    """Parse lines; exit code 1 when some failed."""
    import contextlib
    import os
    import stat
    import sys

    import orjson

    from soc.application.parse import context_of, parse_stream
    from soc.clock import SystemClock
    from soc.errors import Phrase, UsageError
    from soc.ingest.registry import installed

    context = context_of(tz, received_at, SystemClock().now_us())
    registry = installed()
    if product:
        registry.get(product)
    failed = 0
    with contextlib.ExitStack() as stack:
        try:
            stream = sys.stdin.buffer if file == "-" else stack.enter_context(open(file, "rb", buffering=1 << 20))  # noqa: PTH123 - the path is what the user typed
        except OSError as error:
            raise UsageError(Phrase("{file} cannot be read: {strerror}", file=file, strerror=error.strerror)) from error
        out = sys.stdout.buffer
        sys.stdout.flush()
        # What comes through a pipe may come slowly (`tail -f fw.log | soc parse`): each answer is shown when it is there.
        live = file == "-" and not stat.S_ISREG(os.fstat(stream.fileno()).st_mode)
        for answer in parse_stream(stream, registry, context, product=product, records=file.endswith((".raw.ndjson", ".raw.ndjson.gz"))):
            failed += bool(answer.error)
            if form == "ndjson":
                out.write(orjson.dumps(answer.record(), option=orjson.OPT_APPEND_NEWLINE))
            else:
                out.write(pretty(answer).encode("utf-8", "backslashreplace"))
            if live:
                out.flush()
        out.flush()
    return 1 if failed else 0


def pretty(answer: Answer) -> str:
    """The answer as text: a head line, then one field per line; nothing in it steers a terminal."""
    from soc.model.text import display_safe

    head = (
        _("line {n}").format(n=answer.n)
        + (f"  {answer.parser}" if answer.parser else "")
        + ("  " + _("error") + f": {display_safe(answer.error)}" if answer.error else "")
    )
    width = max((len(name) for name in answer.doc), default=0)

    def text(value: object) -> str:
        return ", ".join(map(display_safe, value)) if isinstance(value, list) else display_safe(value)

    return "\n".join([head, *(f"  {display_safe(name):<{width}}  {text(answer.doc[name])}" for name in sorted(answer.doc))]) + "\n\n"
