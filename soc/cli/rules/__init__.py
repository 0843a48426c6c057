"""`soc rules`: one module a subcommand, found by its file name and imported when it is asked for."""

from __future__ import annotations

from soc.cli._folder import Folder
from soc.i18n import gettext as _

command = Folder(__name__, help=_("Rules: list, lint, test, evaluate, explain, and their life."))
