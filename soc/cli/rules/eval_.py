"""`soc rules eval`: rules on a file of events, without a store."""

from __future__ import annotations

from pathlib import Path

import click

from soc.cli.rules._load import say_error, tell, tell_if_none
from soc.cli.rules._options import FOLDER, ZONE, microseconds, moment, pipeline_option, use_zone_named
from soc.i18n import gettext as _
from soc.i18n import ngettext


@click.command("eval", help=_("Evaluate rules on a file of events, one JSON object a line; one JSON alert a line. Needs no store and no configuration."))
@click.option("--rules", "folder", type=FOLDER, required=True, metavar="DIR", help=_("A rule file, or a folder: every *.yml below it."))
@click.option("--events", "file", required=True, metavar="FILE", help=_("The events, - for standard input; fields nested or with dots."))
@pipeline_option("none")
@click.option(
    "--lateness",
    default="inf",
    show_default=True,
    metavar="S",
    help=_("How many seconds an event may come late: later ones are dropped; inf: all are read before any is judged."),
)
@click.option("--time-field", default="@timestamp", show_default=True, metavar="F", help=_("The field that holds the time; correlations need it."))
@click.option(
    "--until", default="", metavar="T", help=_("The time to which silence is judged, later events are left out; default: the time of the latest event.")
)
@ZONE
def command(folder: Path, file: str, pipeline: str, lateness: str, time_field: str, until: str, tz: str) -> int:
    """Evaluate; exit code 1 when a rule or an event was refused."""
    import contextlib
    import sys

    from soc.cli._io import to_json
    from soc.errors import Phrase, UsageError
    from soc.rules.collection import load_collection
    from soc.rules.evaluate import Options, evaluate, read_lines

    use_zone_named(tz)
    options = Options(time_field, microseconds(lateness), moment(until))
    collection, errors, notes = load_collection([folder], ecs=pipeline == "ecs")
    tell(errors, notes)
    tell_if_none(folder, collection, errors)
    with contextlib.ExitStack() as stack:
        try:
            stream = sys.stdin.buffer if file == "-" else stack.enter_context(open(file, "rb", buffering=1 << 20))  # noqa: PTH123 - the path is what the user typed
        except OSError as error:
            raise UsageError(Phrase("{file} cannot be read: {reason}", file=file, reason=error.strerror)) from error
        found = evaluate(collection, read_lines(stream), options)
    for n, reason in found.refused:
        say_error(f"{file}:{n}: {reason}")
    if found.late:
        text = ngettext("{count} event came later than {seconds} s and was dropped", "{count} events came later than {seconds} s and were dropped", found.late)
        say_error(text.format(count=found.late, seconds=lateness.removesuffix("s")))
    if found.timeless:
        say_error(_("{count} events have no readable time in {field}; correlations left them out").format(count=found.timeless, field=time_field))
    out = sys.stdout
    out.writelines(to_json(alert) + "\n" for alert in found.alerts)
    out.flush()
    return 1 if errors or found.refused else 0
